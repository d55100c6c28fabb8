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

func TestWrapGroupsDigits(t *testing.T) {
	const text, want = "1000 clients, 10000; 1234567. 127.0.0.1 10000s", "1000 clients, 10,000; 1,234,567. 127.0.0.1 10000s"
	if got := Wrap(text); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
