package results

import (
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	text := Wrap(strings.Repeat("twelve chars ", 30))
	for line := range strings.Lines(text) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 100 || n == 0 {
			t.Errorf("a line has %d columns: %q", n, line)
		}
	}
	if got, want := strings.Fields(text), 60; len(got) != want {
		t.Errorf("%d words are left of %d", len(got), want)
	}
}
