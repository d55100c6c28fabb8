package tools_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// translations are the pages in Spanish, and the English pages whose commands and code they show.
var translations = []struct {
	page  string
	from  []string
	whole bool // whether it shows all of them
}{
	{"../README.es.md", []string{"../README.md"}, false},
	{"../docs/es/tutorial.md", []string{"../docs/tutorial.md"}, true},
	{"../docs/es/migrating-flask-socketio.md", []string{"../docs/migrating-flask-socketio.md", "../docs/migrating.md"}, false},
}

// The commands and the code of the Spanish pages are those of the English ones, which tests run.
// Only comments are translated.
func TestSpanishPagesShowTheSameCode(t *testing.T) {
	for _, translation := range translations {
		var english []string
		for _, page := range translation.from {
			english = append(english, codeLines(t, page)...)
		}
		spanish := codeLines(t, translation.page)
		if len(spanish) == 0 {
			t.Errorf("%s has no code", translation.page)
		}
		if translation.whole {
			if !slices.Equal(spanish, english) {
				t.Errorf("%s doesn't show exactly the code of %s", translation.page, translation.from[0])
			}
			continue
		}
		for _, line := range spanish {
			if !slices.Contains(english, line) {
				t.Errorf("%s has a line that no English page has: %s", translation.page, line)
			}
		}
	}
}

// codeLines returns the lines of a page's blocks of code, without comments.
func codeLines(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range regexp.MustCompile("(?ms)^```\\w+\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), " // ")
			if line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
