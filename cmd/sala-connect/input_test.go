package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTypedLines(t *testing.T) {
	for line, want := range map[string]string{
		`say`:                             `say []`,
		`say {"text":"hi"}`:               `say [{"text":"hi"}]`,
		`say  1 "two" [3] null true`:      `say [1,"two",[3],null,true]`,
		`say 12345678901234567890 1.10`:   `say [12345678901234567890,1.10]`,
		`say hello, world`:                `say ["hello, world"]`,
		`say 5 o'clock`:                   `say ["5 o'clock"]`,
		`send {"a":{"$binary":"aGk="}} 1`: `send [{"a":{"$binary":"aGk="}},1]`,
		`send {"$binary":"no base64!"}`:   `send [{"$binary":"no base64!"}]`,
	} {
		got := parseLine(line)
		if got.err != nil {
			t.Errorf("%s: %v", line, got.err)
			continue
		}
		args := make([]any, len(got.args))
		for i, arg := range got.args {
			args[i] = withoutBytes(arg)
		}
		body, err := json.Marshal(args)
		if text := got.event + " " + string(body); err != nil || text != want {
			t.Errorf("%s became %s (%v), want %s", line, text, err, want)
		}
	}
	for _, line := range []string{`say {"text":`, `say [1,`} {
		if got := parseLine(line); got.err == nil || !strings.Contains(got.err.Error(), "say") {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestReadLines(t *testing.T) {
	lines := make(chan typed)
	go readLines(t.Context(), strings.NewReader("a 1\n\n  b\n"), lines)
	var events []string
	for line := range lines {
		events = append(events, line.event)
	}
	if strings.Join(events, " ") != "a b" {
		t.Errorf("read %q", events)
	}
	lines = make(chan typed)
	go readLines(t.Context(), strings.NewReader("a "+strings.Repeat("x", maxLineBytes)), lines)
	if line := <-lines; line.err == nil {
		t.Errorf("read %s", line.event)
	}
}
