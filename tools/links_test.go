package tools_test

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linkText     = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	fencedBlock  = regexp.MustCompile("(?ms)^```.*?^```")
	namedAnchor  = regexp.MustCompile(`<a id="([\w-]+)"></a>`)
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// TestLinks fails when a link in a Markdown file leads to a file or a heading
// that doesn't exist. It doesn't follow links to other sites.
func TestLinks(t *testing.T) {
	pages := make(map[string]string)
	for _, name := range trackedFiles(t) {
		if path.Ext(name) == ".md" {
			text, err := os.ReadFile("../" + name)
			if err != nil {
				t.Fatal(err)
			}
			pages[name] = fencedBlock.ReplaceAllString(string(text), "")
		}
	}
	links := 0
	for name, text := range pages {
		for _, match := range markdownLink.FindAllStringSubmatch(text, -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue
			}
			links++
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat("../" + file); err != nil {
				t.Errorf("%s links to %s, which doesn't exist", name, match[1])
			} else if page, ok := pages[file]; ok && fragment != "" && !anchors(page)[fragment] {
				t.Errorf("%s links to %s, but there is no such heading", name, match[1])
			}
		}
	}
	if links == 0 {
		t.Error("found no links")
	}
}

// anchors returns the fragments that GitHub gives to the headings of a page, and those that it names.
func anchors(page string) map[string]bool {
	found := make(map[string]bool)
	for _, match := range heading.FindAllStringSubmatch(page, -1) {
		text := linkText.ReplaceAllString(match[1], "$1")
		base := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
		anchor := base
		for n := 1; found[anchor]; n++ {
			anchor = base + "-" + strconv.Itoa(n)
		}
		found[anchor] = true
	}
	for _, match := range namedAnchor.FindAllStringSubmatch(page, -1) {
		found[match[1]] = true
	}
	return found
}

// trackedFiles returns the files that Git tracks, by their paths from the root.
func trackedFiles(t *testing.T) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Skipf("the tracked files aren't known: git ls-files: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}
