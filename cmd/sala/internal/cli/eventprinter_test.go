package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

func TestEventsForPeople(t *testing.T) {
	ana := &salav1.EventSocket{Id: "sock", User: "ana", Transport: "websocket", Address: "1.2.3.4:5"}
	at := timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.Local))
	for _, tt := range []struct {
		want  string
		event *salav1.ClientEvent
	}{
		{"connect     / ana sock websocket 1.2.3.4:5", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_CONNECT, Socket: ana}},
		{"disconnect  / ana sock transport close", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_DISCONNECT, Socket: ana, Reason: "transport close"}},
		{"connect     / ana sock websocket 1.2.3.4:5 [was before, not recovered: EXPIRED]", &salav1.ClientEvent{
			Kind: salav1.EventKind_EVENT_KIND_CONNECT, Socket: ana, PreviousSocketId: "before", NotRecovered: "EXPIRED"}},
		{"away        / ana sock ping timeout", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_AWAY, Socket: ana, Reason: "ping timeout"}},
		{"resumed     / ana sock websocket 1.2.3.4:5", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_RESUMED, Socket: ana}},
		{"join        / - other lobby", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_JOIN, Socket: &salav1.EventSocket{Id: "other"}, Room: "lobby"}},
		{"room_opened / lobby", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_ROOM_OPENED, Room: "lobby"}},
		{"user_online / ana", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_USER_ONLINE, User: "ana"}},
		{"user_left   / ana lobby", &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_USER_LEFT, User: "ana", Room: "lobby"}},
		{`message     / ana sock say [{"n":1.10},"ñ"]`, &salav1.ClientEvent{
			Kind: salav1.EventKind_EVENT_KIND_MESSAGE, Socket: ana, Event: "say", ArgsJson: "[ {\"n\": 1.10},\n\"ñ\"]"}},
		{`message     / ana sock "a\nb" ["\u009b2J\u202e\udb40\udc01"] [attachment 0: 3 bytes]`, &salav1.ClientEvent{
			Kind: salav1.EventKind_EVENT_KIND_MESSAGE, Socket: ana, Event: "a\nb", ArgsJson: "[\"\u009b2J\u202e\U000e0001\"]", Attachments: [][]byte{{1, 2, 3}}}},
	} {
		tt.event.Namespace, tt.event.Time = "/", at
		var out bytes.Buffer
		if err := newEventPrinter(&out, false).print(tt.event); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "03:04:05.006 "+tt.want+"\n" {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
		out.Reset()
		if err := newEventPrinter(&out, true).print(tt.event); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), `"needsAck":false`) {
			t.Errorf("as JSON: %q", out.String())
		}
	}
}

// A drop is a line for people, and an event of Subscribe keeps its delivery id.
func TestOutcomesForPeopleAndScripts(t *testing.T) {
	ana := &salav1.EventSocket{Id: "sock", User: "ana"}
	at := timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.Local))
	for _, tt := range []struct {
		people, scripts string
		event           *salav1.TailEvent
	}{
		{"drop        / ana sock -> dropped 2 messages: the queue\\x1b was full", `"reason":"queue full"`, &salav1.TailEvent{
			Kind: salav1.EventKind_EVENT_KIND_DROP, Socket: ana, Reason: "queue full",
			Outcome: &salav1.Outcome{Result: salav1.OutcomeResult_OUTCOME_RESULT_DROPPED, Dropped: 2, Message: "the queue\x1b was full"},
		}},
		{"drop        / ana sock -> dropped 1 message: it ended", `"dropped":1`, &salav1.TailEvent{
			Kind: salav1.EventKind_EVENT_KIND_DROP, Socket: ana, Reason: "undelivered",
			Outcome: &salav1.Outcome{Result: salav1.OutcomeResult_OUTCOME_RESULT_DROPPED, Dropped: 1, Message: "it ended"},
		}},
		{"connect     / ana sock - -", `"deliveryId":"7"`, &salav1.TailEvent{Kind: salav1.EventKind_EVENT_KIND_CONNECT, Socket: ana, DeliveryId: "7"}},
	} {
		tt.event.Namespace, tt.event.Time = "/", at
		var people, scripts bytes.Buffer
		if err := newEventPrinter(&people, false).printTail(tt.event); err != nil {
			t.Fatal(err)
		}
		if got := people.String(); got != "03:04:05.006 "+tt.people+"\n" {
			t.Errorf("got  %q\nwant %q", got, tt.people)
		}
		if err := newEventPrinter(&scripts, true).printTail(tt.event); err != nil {
			t.Fatal(err)
		}
		if got := scripts.String(); !strings.Contains(got, tt.scripts) || !strings.Contains(got, `"socket":{"id":"sock"`) {
			t.Errorf("as JSON: %s, want %s", got, tt.scripts)
		}
	}
}

func TestColours(t *testing.T) {
	event := &salav1.ClientEvent{Kind: salav1.EventKind_EVENT_KIND_ROOM_CLOSED, Namespace: "/", Room: "lobby"}
	p := &eventPrinter{colour: true}
	if got := p.text(event); !strings.Contains(got, "\x1b[35mroom_closed\x1b[0m / lobby") {
		t.Errorf("coloured: %q", got)
	}
	terminal, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		terminal, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a device too
	}
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = terminal.Close() }()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	t.Setenv("NO_COLOR", "")
	if !newEventPrinter(terminal, false).colour || newEventPrinter(terminal, true).colour || newEventPrinter(file, false).colour {
		t.Error("colours are for terminals, and not for JSON")
	}
	t.Setenv("NO_COLOR", "1")
	if newEventPrinter(terminal, false).colour {
		t.Error("NO_COLOR has no effect")
	}
}

func TestKinds(t *testing.T) {
	got, err := parseKinds([]string{"message", "ROOM_OPENED", "room-closed", "EVENT_KIND_JOIN", "Connect"})
	want := []salav1.EventKind{5, 6, 7, 3, 1}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("kind %d is %v, want %v", i, got[i], want[i])
		}
	}
	for _, word := range []string{"", "unspecified", "dance", "event_kind_"} {
		if _, err := parseKinds([]string{word}); err == nil || !strings.Contains(err.Error(), "room_opened, room_closed") {
			t.Errorf("%q: %v", word, err)
		}
	}
}
