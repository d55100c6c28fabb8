// Package examples checks that the README shows what the examples do.
package examples

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeSnippetsAreInTheExamples fails when a snippet of the README isn't
// in the example that it is taken from, which is compiled or run.
func TestReadmeSnippetsAreInTheExamples(t *testing.T) {
	readme := read(t, "../README.md")
	block := regexp.MustCompile("(?s)```(go|js|python)\n(.*?)```")
	sources := map[string]string{
		"go":     flatten(read(t, "backend-go/main.go")),
		"js":     flatten(read(t, "backend-node/backend.mjs") + read(t, "client/client.mjs") + read(t, "chat-backend-node/main.mjs")),
		"python": flatten(read(t, "backend-python/backend.py") + read(t, "backend-python/chat.py")),
	}
	checked := map[string]int{}
	for _, m := range block.FindAllStringSubmatch(readme, -1) {
		language, snippet := m[1], m[2]
		checked[language]++
		if !strings.Contains(sources[language], flatten(snippet)) {
			t.Errorf("this snippet of the README is in no example:\n%s", snippet)
		}
	}
	if checked["go"] == 0 || checked["js"] == 0 || checked["python"] == 0 {
		t.Errorf("found %v snippets, want some of each language", checked)
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
func flatten(s string) string { return strings.Join(strings.Fields(s), " ") }
