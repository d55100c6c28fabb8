package cli

import (
	"errors"
	"strings"
	"testing"
)

// An argument that begins like JSON but is invalid is a typing error.
func TestBrokenJSONIsNoText(t *testing.T) {
	event := &Event{Values: []string{`"[x"`, "}", " x"}}
	if got, err := event.argsJSON(); err != nil || got != `["[x","}"," x"]` {
		t.Errorf("%s, %v", got, err)
	}
	for _, value := range []string{"{bad", `{"a":1`, "[1,", "[note] hello"} {
		_, err := (&Event{Values: []string{value}}).argsJSON()
		if usage := new(UsageError); !errors.As(err, &usage) || !strings.Contains(err.Error(), value) {
			t.Errorf("%q: %v, want a usage error", value, err)
		}
	}
}
