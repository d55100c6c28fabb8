package sala_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestSnippetsOfTheDocsAreCompiled fails when a snippet of the documentation isn't in the examples.
func TestSnippetsOfTheDocsAreCompiled(t *testing.T) {
	forLinters := regexp.MustCompile(`(?m)^//(nolint:.*)?$`)
	compiled := flatten(forLinters.ReplaceAllString(read(t, "snippets_test.go"), ""))
	block := regexp.MustCompile("(?s)```go\n(.*?)```")
	for _, page := range []string{"README.md", "../../docs/publishing.md"} {
		blocks := block.FindAllStringSubmatch(read(t, page), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no snippets", page)
		}
		for _, found := range blocks {
			if !strings.Contains(compiled, flatten(found[1])) {
				t.Errorf("this snippet of %s is compiled nowhere:\n%s", page, found[1])
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// flatten makes indentation irrelevant.
func flatten(text string) string { return strings.Join(strings.Fields(text), " ") }
