package adminui

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func socketOf(id string, rooms ...string) eventhub.Socket {
	return eventhub.Socket{
		ID: id, User: "ana", Namespace: "/", Node: "N", Address: "10.0.0.1:" + fmt.Sprint(1000+len(id)), Transport: "polling", ConnectTime: noon, Rooms: rooms,
	}
}

func eventOf(kind eventhub.Kind, id, room string) *eventhub.Event {
	s := socketOf(id)
	return &eventhub.Event{Kind: kind, Namespace: "/", Socket: &s, Room: room, Reason: "transport close", Time: noon}
}

// told returns updates in a short form: the event, and its arguments that are names.
func told(updates []update) (lines []string) {
	for _, u := range updates {
		var words []string
		for _, arg := range u.args {
			switch a := arg.(type) {
			case string:
				if !strings.HasSuffix(a, "Z") {
					words = append(words, a)
				}
			case shownSocket:
				words = append(words, a.ID)
			case updatedSocket:
				words = append(words, a.ID, a.Transport)
			}
		}
		lines = append(lines, u.event+" "+strings.Join(words, " "))
	}
	return lines
}

func TestMirrorFollowsEvents(t *testing.T) {
	m := newMirror()
	upgraded := eventOf(eventhub.Join, "a", "chat")
	upgraded.Socket.Transport = "websocket"
	for _, tt := range []struct {
		name  string
		event *eventhub.Event
		want  []string
	}{
		{"connects", eventOf(eventhub.Connect, "a", ""), []string{"socket_connected a"}},
		{"is known", eventOf(eventhub.Connect, "a", ""), nil},
		{"joins, and has upgraded", upgraded, []string{"socket_updated a websocket", "room_joined / chat a"}},
		{"is in the room", upgraded, nil},
		{"leaves another room", eventOf(eventhub.Leave, "a", "other"), nil},
		{"joins without having connected", eventOf(eventhub.Join, "b", "chat"), []string{"socket_connected b", "room_joined / chat b"}},
		{"leaves", eventOf(eventhub.Leave, "b", "chat"), []string{"room_left / chat b"}},
		{"ends in a room", eventOf(eventhub.Disconnect, "a", ""), []string{"room_left / chat a", "room_left / a a", "socket_disconnected / a transport close"}},
		{"has ended", eventOf(eventhub.Disconnect, "a", ""), nil},
	} {
		if got := told(m.apply(tt.event)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestMirrorFollowsLists(t *testing.T) {
	m := newMirror()
	upgraded := socketOf("b", "chat")
	upgraded.Transport = "websocket"
	for _, tt := range []struct {
		name     string
		list     []eventhub.Socket
		complete bool
		want     []string
	}{
		{"the first", []eventhub.Socket{socketOf("a", "chat"), socketOf("b", "chat", "other")}, true, []string{
			"socket_connected a", "room_joined / chat a", "socket_connected b", "room_joined / chat b", "room_joined / other b",
		}},
		{"the same", []eventhub.Socket{socketOf("a", "chat"), socketOf("b", "chat", "other")}, true, nil},
		{"a node is missing", []eventhub.Socket{socketOf("b", "chat", "other")}, false, nil},
		{"one has gone", []eventhub.Socket{upgraded}, true, []string{
			"socket_updated b websocket", "room_left / other b", "room_left / chat a", "room_left / a a", "socket_disconnected / a unknown",
		}},
	} {
		if got := told(m.reconcile(tt.list, tt.complete)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestShownSocket(t *testing.T) {
	m := newMirror()
	s := socketOf("a", "chat")
	s.Auth, s.Data = json.RawMessage(`{"secret":1}`), json.RawMessage(`{"age":7}`)
	m.reconcile([]eventhub.Socket{s}, true)
	got, err := json.Marshal(m.list(func(string) bool { return true }))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"id":"a","clientId":"N@10.0.0.1:1001","transport":"polling","nsp":"/","data":{"user":"ana","node":"N","data":{"age":7}},` +
		`"handshake":{"address":"10.0.0.1:1001","headers":{},"query":{},"issued":1795694400000,"secure":false,"time":"2026-11-26T12:00:00.000Z","url":"","xdomain":false},` +
		`"rooms":["a","chat"]}]`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if none := m.list(func(string) bool { return false }); none == nil || len(none) != 0 {
		t.Errorf("%v in no namespace, want an empty list", none)
	}
}

// Sockets of one connection belong together if the port of the connection is known.
func TestSharing(t *testing.T) {
	m := newMirror()
	one, other := socketOf("a"), socketOf("b")
	other.Namespace = "/chat"
	behind, alone := socketOf("ccc"), socketOf("ddd")
	behind.Address, alone.Address = "10.0.0.9", "10.0.0.9"
	m.reconcile([]eventhub.Socket{one, other, behind, alone}, true)
	for id, want := range map[string]int{"a": 2, "ccc": 1, "missing": 0} {
		if got := m.sharing(id); len(got) != want {
			t.Errorf("%d sockets share the connection of %s, want %d", len(got), id, want)
		}
	}
	if !m.has("/", "a") || m.has("/chat", "a") || m.has("/", "missing") {
		t.Error("a socket is in another namespace than its own")
	}
}

func TestShownArgs(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{`[]`, `["say"]`},
		{``, `["say"]`},
		{`[1e400, {"b": 1, "a": 2}]`, `["say",1e400,{"b":1,"a":2}]`},
		{`["` + strings.Repeat("x", maxShownBytes) + `"]`, `["say","(16388 bytes)"]`},
	} {
		got, err := json.Marshal(shownArgs(&eventhub.Event{Name: "say", Args: json.RawMessage(tt.args)}))
		if err != nil || string(got) != tt.want {
			t.Errorf("%.20s is shown as %s, %v; want %s", tt.args, got, err, tt.want)
		}
	}
}
