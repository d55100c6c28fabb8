package broker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// chat is the configuration of a chat without a backend.
func chat() broker.Options {
	return broker.Options{
		Relay: []broker.RelayRule{
			{Event: "my_event", Emit: "my_response", To: broker.RelayToRoom},
			{Event: "shout", Emit: "my_response", To: broker.RelayToBroadcast},
		},
		Rooms: broker.RoomEvents{
			JoinEvent:  "join",
			LeaveEvent: "leave",
			Announce: &broker.Announcement{
				Event:  "message",
				Joined: "{username} ha entrado en la sala {room}.",
				Left:   "{user} ha salido de la sala {room}.",
			},
		},
	}
}

const ok = `[{"ok":true}]`

func TestJoinAndLeave(t *testing.T) {
	node := brokertest.Start(t, chat())
	ana, luis, eva := node.Join("ana"), node.Join("luis"), node.Join("eva")
	join := func(c *brokertest.Client, name string) {
		t.Helper()
		if got := c.Call("join", map[string]string{"username": name, "room": "cocina"}); got != ok {
			t.Fatalf("join: %s", got)
		}
	}
	join(ana, "Ana")
	ana.Expect("message", `["Ana ha entrado en la sala cocina."]`)
	join(luis, "Luis {room}")
	ana.Expect("message", `["Luis {room} ha entrado en la sala cocina."]`)
	luis.Expect("message", `["Luis {room} ha entrado en la sala cocina."]`)

	join(ana, "Ana") // again: nothing changes and nothing is announced
	if got := luis.Call("leave", "cocina"); got != ok {
		t.Errorf("leave: %s", got)
	}
	ana.Expect("message", `["luis ha salido de la sala cocina."]`)
	luis.ExpectNothing()
	eva.ExpectNothing()

	if got := luis.Call("leave", "cocina"); got != ok { // again
		t.Errorf("leave: %s", got)
	}
	ana.ExpectNothing()
}

func TestRelay(t *testing.T) {
	node := brokertest.Start(t, chat())
	ana, luis, eva := node.Join("ana"), node.Join("luis"), node.Join("eva")
	for _, c := range []*brokertest.Client{ana, luis} {
		if _, err := node.Broker.Join(t.Context(), broker.Target{Sockets: []string{c.ID}}, []string{"cocina"}); err != nil {
			t.Fatal(err)
		}
	}
	// Numbers, the order of keys and further arguments come out as they went in.
	ana.Send(`42["my_event", {"z":1, "room":"cocina","n":9007199254740993.0} ,"more"]`)
	want := `[{"z":1, "room":"cocina","n":9007199254740993.0},"more"]`
	ana.Expect("my_response", want)
	luis.Expect("my_response", want)
	eva.ExpectNothing()

	if got := ana.Call("shout", "hola"); got != ok {
		t.Errorf("shout: %s", got)
	}
	luis.Expect("my_response", `["hola"]`)
	eva.Expect("my_response", `["hola"]`)
	ana.ExpectNothing()
}

func TestRelayBinary(t *testing.T) {
	node := brokertest.Start(t, chat())
	ana, luis := node.Join("ana"), node.Join("luis")
	ana.Send(`452-["shout",{"a":{"_placeholder":true,"num":1},"b":{"_placeholder":true,"num":0}}]`)
	ana.SendBinary([]byte("first"))
	ana.SendBinary([]byte{0, 255})
	e := luis.Next()
	if e.Args != `[{"a":{"_placeholder":true,"num":1},"b":{"_placeholder":true,"num":0}}]` ||
		len(e.Attachments) != 2 || string(e.Attachments[0]) != "first" || string(e.Attachments[1]) != "\x00\xff" {
		t.Errorf("got %+v", e)
	}
}

// A placeholder without its attachment makes receivers close their connection. A
// client must not be able to do that to others.
func TestBadPlaceholderHurtsOnlyItsSender(t *testing.T) {
	for _, args := range []string{
		`{"_placeholder":true,"num":1}`,
		`{"_placeholder":true,"num":-1}`,
		`{"_placeholder":true}`,
		`{"\u005fplaceholder":true,"num":7}`,
		`[{"x":[{"_placeholder":true,"num":1.5}]}]`,
	} {
		node := brokertest.Start(t, chat())
		ana, luis := node.Join("ana"), node.Join("luis")
		ana.Send(`451-["shout",` + args + `]`)
		ana.ExpectClose()
		luis.ExpectNothing()
	}
}

func TestEventsThatAreRefused(t *testing.T) {
	node := brokertest.Start(t, chat())
	raw := node.Token("ana", broker.Permissions{Join: []string{"chat:*"}, Publish: []string{"chat:*"}})
	tests := []struct {
		event string
		arg   any
		code  string
	}{
		{"join", map[string]string{"room": "other"}, "JOIN_DENIED"},
		{"join", map[string]string{"room": "chat:a:b"}, "JOIN_DENIED"},
		{"join", map[string]string{"room": ""}, "INVALID_ARGUMENT"},
		{"join", map[string]string{"room": strings.Repeat("r", 256)}, "INVALID_ARGUMENT"},
		{"join", map[string]string{"room": "chat:\n"}, "INVALID_ARGUMENT"},
		{"join", map[string]any{"room": 1}, "JOIN_DENIED"},
		{"join", map[string]any{"room": true}, "INVALID_ARGUMENT"},
		{"join", map[string]any{"room": []int{1}}, "INVALID_ARGUMENT"},
		{"join", map[string]any{"room": nil}, "INVALID_ARGUMENT"},
		{"join", map[string]any{"Room": "chat:1"}, "INVALID_ARGUMENT"},
		{"join", map[string]any{"room": "chat:1", "username": false}, "INVALID_ARGUMENT"},
		{"join", map[string]any{"room": json.RawMessage("1e400")}, "INVALID_ARGUMENT"},
		{"join", nil, "INVALID_ARGUMENT"},
		{"join", []any{"chat:1"}, "INVALID_ARGUMENT"},
		{"leave", false, "INVALID_ARGUMENT"},
		{"my_event", map[string]any{"room": map[string]any{}}, "INVALID_ARGUMENT"},
		{"my_event", map[string]any{"ROOM": "chat:1"}, "INVALID_ARGUMENT"},
		{"my_event", map[string]string{"room": "other"}, "PUBLISH_DENIED"},
		{"my_event", map[string]string{"rum": "chat:1"}, "INVALID_ARGUMENT"},
		{"my_event", "chat:1", "INVALID_ARGUMENT"},
		{"shout", "x", "BROADCAST_DENIED"},
		{"unknown", "x", "NO_HANDLER"},
	}
	c := node.JoinAs(raw)
	for _, test := range tests {
		got := c.Call(test.event, test.arg)
		var answer []struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil || len(answer) != 1 {
			t.Fatalf("%s %v: %s", test.event, test.arg, got)
		}
		if answer[0].Error.Code != test.code || answer[0].Error.Message == "" {
			t.Errorf("%s %v: %s, want the code %s", test.event, test.arg, got, test.code)
		}
	}
	if list, _ := node.ListRooms(t.Context(), broker.RoomQuery{}); len(list.Rooms) != 0 {
		t.Errorf("list.Rooms %v, want none: a refused join changes nothing", list.Rooms)
	}
}

func TestRoomsPerSocketAreLimited(t *testing.T) {
	o := chat()
	o.MaxRoomsPerSocket = 3
	o.Rooms.Announce = nil
	node := brokertest.Start(t, o)
	c, neighbour := node.Join("ana"), node.Join("luis")
	for i := range 3 {
		if got := c.Call("join", fmt.Sprint("room", i)); got != ok {
			t.Fatalf("join %d: %s", i, got)
		}
	}
	if got := c.Call("join", "one too many"); !strings.Contains(got, "TOO_MANY_ROOMS") {
		t.Errorf("the join above the limit: %s", got)
	}
	if got := c.Call("join", "room1"); got != ok {
		t.Errorf("joining again at the limit: %s", got)
	}
	if got := neighbour.Call("join", "room1"); got != ok {
		t.Errorf("a neighbour's join: %s", got)
	}
}

func TestBrokenPacketsCloseTheConnection(t *testing.T) {
	node := brokertest.Start(t, chat())
	for _, packet := range []string{
		`42`, `42{}`, `42["x"`, `4`, `49`, `45-["x"]`, `4599-["x"]`, `42["x"]trailing`, `40`, `44{}`,
	} {
		t.Run(packet, func(t *testing.T) {
			c := node.Join("ana")
			c.Send(packet)
			c.ExpectClose()
		})
	}
}

// TestOddEventsKeepTheConnection: an event that can't be handled is answered if it
// asks for an ack, and closes no connection.
func TestOddEventsKeepTheConnection(t *testing.T) {
	node := brokertest.Start(t, chat())
	c := node.Join("ana")
	for _, data := range []string{
		`[]`, `[null,"x"]`, `[true]`, `[["a"]]`, `[{"a":1}]`, `[1e400]`, `[""]`, `["disconnect"]`, `["connect","x"]`,
		`["` + strings.Repeat("x", 256) + `"]`, `["deep",` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `]`,
	} {
		c.Send("42" + data) // which nobody answers
		c.Send("427" + data)
		if got := c.Await("437"); !strings.Contains(got, `"code":"INVALID_ARGUMENT"`) {
			t.Errorf("%.40s: %s", data, got)
		}
	}
	c.Send(`43["an ack without an id"]`)
	c.Send(`427[42,"x"]`)
	if got := c.Await("437"); !strings.Contains(got, `"code":"NO_HANDLER"`) || !strings.Contains(got, `\"42\"`) {
		t.Errorf("a number as the name: %s", got)
	}
}

// TestNumbersNameRooms: a room has one name, whether it is written as a number or
// as its text.
func TestNumbersNameRooms(t *testing.T) {
	o := chat()
	o.Rooms.Announce = &broker.Announcement{Event: "message", Joined: "{username} {user} {room}"}
	node := brokertest.Start(t, o)
	all := broker.Permissions{Join: []string{"**"}, Publish: []string{"**"}}
	c, luis := node.JoinAs(node.Token("ana", all)), node.JoinAs(node.Token("luis", all))
	for _, room := range []string{`7`, `7.0`, `"7"`, `{"room":7}`, `{"room":70e-1}`, `{"room":8,"room":7}`} {
		if got := c.Call("join", json.RawMessage(room)); got != ok {
			t.Fatalf("join %s: %s", room, got)
		}
	}
	c.Expect("message", `["ana ana 7"]`)
	if got := roomsOf(t, node, c.ID); !slices.Equal(got, []string{"7"}) {
		t.Errorf("the rooms are %q", got)
	}
	if got := luis.Call("join", json.RawMessage(`{"room":7,"username":5}`)); got != ok {
		t.Fatal(got)
	}
	c.Expect("message", `["5 luis 7"]`)
	luis.Expect("message", `["5 luis 7"]`)
	if got := luis.Call("my_event", json.RawMessage(`{"room":7,"x":1.0}`)); got != ok {
		t.Fatal(got)
	}
	c.Expect("my_response", `[{"room":7,"x":1.0}]`)
	if got := c.Call("leave", json.RawMessage(`{"room":7,"username":null}`)); got != ok {
		t.Fatal(got)
	}
	if got := roomsOf(t, node, c.ID); len(got) > 0 {
		t.Errorf("after leaving 7, the rooms are %q", got)
	}
}

// A packet may be on its way when its socket ends. The other sockets of the connection
// must not be affected.
func TestPacketsForOtherNamespacesAreIgnored(t *testing.T) {
	o := chat()
	o.Namespaces = []string{"/", "/other"}
	o.Metrics = prometheus.NewRegistry()
	node := brokertest.Start(t, o)
	c := node.Join("ana")
	for _, packet := range []string{`42/other,["x"]`, `43/other,1[]`, `41/other,`, `42/nowhere,["x"]`} {
		c.Send(packet)
	}
	c.ExpectNothing()
	if got := gather(t, o.Metrics.(*prometheus.Registry))[`sala_client_events_total{kind="unhandled",result="NOT_CONNECTED"}`]; got != 4 {
		t.Errorf("%v were counted, want 4", got)
	}
}

func TestMessageSizeIsLimited(t *testing.T) {
	o := chat()
	o.MaxMessageBytes = 2000
	node := brokertest.Start(t, o)
	ana, luis := node.Join("ana"), node.Join("luis")
	frame := `2["shout",""]` // what the limit counts, less the text
	ana.Send("4" + strings.Replace(frame, `""`, `"`+strings.Repeat("x", 2000-len(frame)-2)+`"`, 1))
	if got := len(luis.Next().Args); got < 1900 {
		t.Errorf("got %d bytes", got)
	}
	ana.Send("4" + strings.Replace(frame, `""`, `"`+strings.Repeat("x", 2000)+`"`, 1))
	ana.ExpectClose()
	luis.ExpectNothing()
}
