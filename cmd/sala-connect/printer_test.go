package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestPrintText(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		fact      fact
		out, note string
	}{
		{fact{Kind: kindConnect, Socket: "A"}, "", "connected as A"},
		{fact{Kind: kindConnect, Socket: "A", Recovered: &yes}, "", "reconnected as the same socket, A; nothing is missing"},
		{fact{Kind: kindConnect, Socket: "B", Recovered: &no}, "", "reconnected as B, a new socket"},
		{fact{Kind: kindDisconnect, Reason: "ping timeout"}, "", "disconnected: ping timeout"},
		{fact{Kind: kindReconnecting, Attempt: 2}, "", "reconnecting, attempt 2"},
		{fact{Kind: kindEvent, Event: "news", Args: []any{"a", 1}, NeedsAck: true}, `event news "a" 1 [asks for an ack]`, ""},
		{fact{Kind: kindEvent, Event: "\x1b[31m", Args: []any{"\u202e\x1b"}}, `event "\x1b[31m" "\u202e\u001b"`, ""},
		{fact{Kind: kindAck, Event: "say", Message: "no ack: late"}, "ack   say [no ack: late]", ""},
		{fact{Kind: kindEvent, Event: "file", Args: []any{[]byte("hi")}}, `event file {"$binary":"aGk="}`, ""},
	} {
		var out, notes bytes.Buffer
		p := newPrinter(&options{}, &out, &notes)
		if err := p.print(tt.fact); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(strings.TrimSpace(out.String()), tt.out) || (out.Len() > 0) != (tt.out != "") || strings.TrimSpace(strings.TrimPrefix(notes.String(), "sala: ")) != tt.note {
			t.Errorf("%+v printed %q and %q", tt.fact, out.String(), notes.String())
		}
	}
}

func TestPrintJSON(t *testing.T) {
	var out, notes bytes.Buffer
	p := newPrinter(&options{JSON: true}, &out, &notes)
	for _, f := range []fact{{Kind: kindDisconnect, Reason: "transport close"}, {Kind: kindEvent, Event: "x", Args: []any{1}}} {
		if err := p.print(f); err != nil {
			t.Fatal(err)
		}
	}
	var kinds []string
	decoder := json.NewDecoder(&out)
	for decoder.More() {
		var f fact
		if err := decoder.Decode(&f); err != nil || f.Time.IsZero() {
			t.Fatalf("%+v (%v)", f, err)
		}
		kinds = append(kinds, f.Kind)
	}
	if strings.Join(kinds, " ") != "disconnect event" || notes.Len() > 0 {
		t.Errorf("printed %q and %q", kinds, notes.String())
	}
}

func TestRunNeedsOptions(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `part of "sala connect"`,
		`{"unknown": 1}`:         "not of the same version",
		`{"tlsCA": "/none.pem"}`: "--tls-ca",
	} {
		var out, notes bytes.Buffer
		if code := run(text, strings.NewReader(""), &out, &notes); code == exitOK || !strings.Contains(notes.String(), want) {
			t.Errorf("%s: exit code %d, %s", text, code, notes.String())
		}
	}
}
