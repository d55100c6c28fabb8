package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"

	"google.golang.org/protobuf/encoding/protojson"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// eventPrinter prints one event per line.
type eventPrinter struct {
	out    io.Writer
	asJSON bool
	colour bool
}

func newEventPrinter(out io.Writer, asJSON bool) *eventPrinter {
	return &eventPrinter{out: out, asJSON: asJSON, colour: !asJSON && os.Getenv("NO_COLOR") == "" && isTerminal(out)}
}

// isTerminal reports whether out is a terminal.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *eventPrinter) print(e *salav1.ClientEvent) error {
	if !p.asJSON {
		_, err := fmt.Fprintln(p.out, p.text(e))
		return err
	}
	body, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(e)
	if err != nil {
		return err
	}
	var line bytes.Buffer // protojson varies its spaces
	if err := json.Compact(&line, body); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.out, line.String())
	return err
}

// text returns an event for people: time, kind, namespace, user, socket and details.
func (p *eventPrinter) text(e *salav1.ClientEvent) string {
	parts := []string{
		p.paint(faint, e.GetTime().AsTime().Local().Format("15:04:05.000")),
		p.paint(kindColour(e.GetKind()), fmt.Sprintf("%-11s", kindName(e.GetKind()))),
		cell(e.GetNamespace()),
	}
	if s := e.GetSocket(); s != nil {
		parts = append(parts, p.paint(bold, cell(s.GetUser())), p.paint(faint, cell(s.GetId())))
	}
	if e.GetUser() != "" {
		parts = append(parts, p.paint(bold, cell(e.GetUser())))
	}
	return strings.Join(append(parts, details(e)...), " ")
}

// details are the fields that only events of this kind have.
func details(e *salav1.ClientEvent) []string {
	switch e.GetKind() {
	case salav1.EventKind_EVENT_KIND_CONNECT:
		parts := []string{cell(e.GetSocket().GetTransport()), cell(e.GetSocket().GetAddress())}
		if e.GetNotRecovered() != "" {
			parts = append(parts, fmt.Sprintf("[was %s, not recovered: %s]", cell(e.GetPreviousSocketId()), cell(e.GetNotRecovered())))
		}
		return parts
	case salav1.EventKind_EVENT_KIND_RESUMED:
		return []string{cell(e.GetSocket().GetTransport()), cell(e.GetSocket().GetAddress())}
	case salav1.EventKind_EVENT_KIND_DISCONNECT, salav1.EventKind_EVENT_KIND_AWAY:
		return []string{cell(e.GetReason())}
	case salav1.EventKind_EVENT_KIND_USER_ONLINE, salav1.EventKind_EVENT_KIND_USER_OFFLINE:
		return nil
	case salav1.EventKind_EVENT_KIND_MESSAGE:
		parts := []string{cell(e.GetEvent()), printableJSON(e.GetArgsJson())}
		for i, a := range e.GetAttachments() {
			parts = append(parts, fmt.Sprintf("[attachment %d: %d bytes]", i, len(a)))
		}
		return parts
	}
	return []string{cell(e.GetRoom())}
}

// printableJSON puts JSON on one line and escapes characters that could control the terminal, because
// a client has written it.
func printableJSON(text string) string {
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) != nil {
		return cell(text)
	}
	var b strings.Builder
	for _, r := range compact.String() {
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

// ANSI escape codes.
const (
	bold    = "1"
	faint   = "2"
	red     = "31"
	green   = "32"
	yellow  = "33"
	magenta = "35"
	cyan    = "36"
)

func kindColour(kind salav1.EventKind) string {
	switch kind {
	case salav1.EventKind_EVENT_KIND_CONNECT, salav1.EventKind_EVENT_KIND_RESUMED:
		return green
	case salav1.EventKind_EVENT_KIND_DISCONNECT:
		return red
	case salav1.EventKind_EVENT_KIND_MESSAGE:
		return cyan
	case salav1.EventKind_EVENT_KIND_JOIN, salav1.EventKind_EVENT_KIND_LEAVE, salav1.EventKind_EVENT_KIND_AWAY:
		return yellow
	}
	return magenta
}

func (p *eventPrinter) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
