package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// What happened to the client.
const (
	kindConnect      = "connect"
	kindDisconnect   = "disconnect"
	kindReconnecting = "reconnecting"
	kindEvent        = "event"
	kindAck          = "ack"
	kindWarning      = "warning"
)

// fact is something that happened. Its JSON is what -o json prints.
type fact struct {
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"`
	Socket    string    `json:"socket,omitempty"`    // connect: the socket's id
	Recovered *bool     `json:"recovered,omitempty"` // connect after a disconnect: whether it is the same socket
	Reason    string    `json:"reason,omitempty"`    // disconnect
	Attempt   int       `json:"attempt,omitempty"`   // reconnecting: counts from 1
	Event     string    `json:"event,omitempty"`     // event; ack: of what
	Args      []any     `json:"args,omitempty"`      // event, ack
	NeedsAck  bool      `json:"needsAck,omitempty"`  // event
	Message   string    `json:"message,omitempty"`   // warning; ack: why there is none
}

// printer prints facts: lines of JSON, or text. As text, events and acks go to the output, and what
// happens to the connection goes to the notes.
type printer struct {
	out, notes io.Writer
	json       bool
}

func newPrinter(o *options, out, notes io.Writer) *printer {
	return &printer{out: out, notes: notes, json: o.JSON}
}

func (p *printer) print(f fact) error {
	f.Time = time.Now()
	args := make([]any, len(f.Args))
	for i, arg := range f.Args {
		args[i] = withoutBytes(arg)
	}
	f.Args = args
	if p.json {
		line, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("can't print an event: %w", err)
		}
		_, err = fmt.Fprintln(p.out, string(line))
		return err
	}
	text, note := f.text()
	if note {
		fmt.Fprintln(p.notes, "sala: "+text)
		return nil
	}
	_, err := fmt.Fprintln(p.out, f.Time.Format("15:04:05.000"), text)
	return err
}

// text returns the fact for people, and whether it is a note.
func (f *fact) text() (text string, note bool) {
	switch f.Kind {
	case kindConnect:
		switch {
		case f.Recovered == nil:
			return "connected as " + quote(f.Socket), true
		case *f.Recovered:
			return "reconnected as the same socket, " + quote(f.Socket) + "; nothing is missing", true
		}
		return "reconnected as " + quote(f.Socket) + ", a new socket", true
	case kindDisconnect:
		return "disconnected: " + quote(f.Reason), true
	case kindReconnecting:
		return fmt.Sprintf("reconnecting, attempt %d", f.Attempt), true
	case kindWarning:
		return f.Message, true
	}
	words := []string{fmt.Sprintf("%-5s", f.Kind), quote(f.Event)}
	for _, arg := range f.Args {
		words = append(words, printable(arg))
	}
	if f.NeedsAck {
		words = append(words, "[asks for an ack]")
	}
	if f.Message != "" {
		words = append(words, "["+f.Message+"]")
	}
	return strings.Join(words, " "), false
}

// quote quotes text with characters that could control the terminal.
func quote(text string) string {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToGraphic(text)
		}
	}
	return text
}

// printable returns a value as JSON without characters that could control the terminal.
func printable(value any) string {
	body, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	var b strings.Builder
	for _, r := range string(body) {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
