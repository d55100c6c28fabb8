package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

func emit(t *testing.T, node *brokertest.Node, target broker.Target, m broker.Message) broker.Report {
	t.Helper()
	report, err := node.Emit(t.Context(), target, m)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestEmitReachesWhomItNames(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Namespaces: []string{"/", "/other"}})
	inRooms := func(rooms ...string) broker.Permissions { return broker.Permissions{Rooms: rooms} }
	names := []string{"ana1", "ana2", "luis", "eva"}
	clients := map[string]*brokertest.Client{
		"ana1": node.JoinAs(node.Token("ana", inRooms("a"))),
		"ana2": node.JoinAs(node.Token("ana", inRooms("a", "b"))),
		"luis": node.JoinAs(node.Token("luis", inRooms("b"))),
		"eva":  node.JoinAs(node.Token("eva", inRooms())),
	}
	other := node.Dial(nil)
	other.Connect("/other", map[string]string{"token": node.Token("ana", inRooms("a"))})

	id := func(name string) []string { return []string{clients[name].ID} }
	tests := map[string]struct {
		target broker.Target
		want   string
	}{
		"a room":               {broker.Target{Rooms: []string{"a"}}, "ana1 ana2"},
		"two rooms, once each": {broker.Target{Rooms: []string{"a", "b"}}, "ana1 ana2 luis"},
		"a room twice":         {broker.Target{Rooms: []string{"a", "a"}}, "ana1 ana2"},
		"an empty room":        {broker.Target{Rooms: []string{"nobody"}}, ""},
		"a user":               {broker.Target{Users: []string{"ana"}}, "ana1 ana2"},
		"a socket":             {broker.Target{Sockets: id("eva")}, "eva"},
		"all kinds":            {broker.Target{Rooms: []string{"b"}, Users: []string{"ana"}, Sockets: id("eva")}, "ana1 ana2 luis eva"},
		"less a room":          {broker.Target{Rooms: []string{"a"}, ExceptRooms: []string{"b"}}, "ana1"},
		"less a socket":        {broker.Target{Rooms: []string{"b"}, ExceptSockets: id("luis")}, "ana2"},
		"everyone":             {broker.Target{Everyone: true}, "ana1 ana2 luis eva"},
		"less a user":          {broker.Target{Rooms: []string{"a", "b"}, ExceptUsers: []string{"ana", "nobody"}}, "luis"},
		"less a user of both":  {broker.Target{Users: []string{"ana", "luis"}, ExceptUsers: []string{"ana"}}, "luis"},
		"everyone but users":   {broker.Target{Everyone: true, ExceptUsers: []string{"ana", "luis"}}, "eva"},
		"everyone but a room":  {broker.Target{Everyone: true, ExceptRooms: []string{"a", "b"}}, "eva"},
		"another namespace":    {broker.Target{Namespace: "/other", Users: []string{"luis"}}, ""},
		"a user named as room": {broker.Target{Rooms: []string{"ana"}}, ""},
		"a socket as room":     {broker.Target{Rooms: id("eva")}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report := emit(t, node, test.target, broker.Message{Event: "hi", Args: json.RawMessage(`["` + name + `"]`)})
			want := strings.Fields(test.want)
			if report.Matched != len(want) || report.Queued != len(want) || report.Dropped != 0 || report.Partial {
				t.Errorf("report %+v, want %d matched and queued", report, len(want))
			}
			for _, client := range names {
				if strings.Contains(test.want, client) {
					clients[client].Expect("hi", `["`+name+`"]`)
				}
				clients[client].ExpectNothing()
			}
		})
	}
}

func TestEmitPassesArgumentsOnByteForByte(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	c := node.Join("ana")
	for _, args := range []string{
		`[]`, `[1]`, `[{"z":1,"a":12345678901234567890.10},"<&>"]`, ` [ "x" , [ ] ] `, `["\u0000\"\\"]`, `["é😀"]`,
	} {
		emit(t, node, broker.Target{Everyone: true}, broker.Message{Event: `quo"te`, Args: json.RawMessage(args)})
		e := c.Next()
		var got, want any
		if json.Unmarshal([]byte(e.Args), &got) != nil || json.Unmarshal([]byte(args), &want) != nil ||
			fmt.Sprint(got) != fmt.Sprint(want) || e.Name != `quo"te` {
			t.Errorf("got %s %s, want %s", e.Name, e.Args, args)
		}
	}
	largest := `["` + strings.Repeat("x", 1_000_000-4) + `"]`
	emit(t, node, broker.Target{Everyone: true}, broker.Message{Event: "largest", Args: json.RawMessage(largest)})
	c.Expect("largest", largest)
	emit(t, node, broker.Target{Everyone: true}, broker.Message{Event: "none"})
	c.Expect("none", `[]`)
	emit(t, node, broker.Target{Everyone: true}, broker.Message{
		Event:       "file",
		Args:        json.RawMessage(`["name",{"_placeholder":true,"num":0}]`),
		Attachments: [][]byte{{1, 2, 3}},
	})
	if e := c.Next(); len(e.Attachments) != 1 || string(e.Attachments[0]) != "\x01\x02\x03" {
		t.Errorf("got %+v", e)
	}
}

func TestEmitRefusesWhatCannotBeSent(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	c := node.Join("ana")
	room := broker.Target{Rooms: []string{"a"}}
	all := broker.Target{Everyone: true}
	tests := map[string]struct {
		target broker.Target
		m      broker.Message
		field  string
	}{
		"no target":            {broker.Target{}, broker.Message{Event: "x"}, "rooms"},
		"only exceptions":      {broker.Target{ExceptRooms: []string{"a"}}, broker.Message{Event: "x"}, "rooms"},
		"empty room":           {broker.Target{Rooms: []string{"a", ""}}, broker.Message{Event: "x"}, "rooms[1]"},
		"long room":            {broker.Target{Rooms: []string{strings.Repeat("a", 256)}}, broker.Message{Event: "x"}, "rooms[0]"},
		"control character":    {broker.Target{Users: []string{"a\x00"}}, broker.Message{Event: "x"}, "users[0]"},
		"not UTF-8":            {broker.Target{Sockets: []string{"\xff"}}, broker.Message{Event: "x"}, "sockets[0]"},
		"bad user":             {broker.Target{Rooms: []string{"a"}, ExceptUsers: []string{"x", ""}}, broker.Message{Event: "x"}, "except_users[1]"},
		"bad exception":        {broker.Target{Rooms: []string{"a"}, ExceptRooms: []string{""}}, broker.Message{Event: "x"}, "except_rooms[0]"},
		"no event":             {room, broker.Message{}, "event"},
		"long event":           {room, broker.Message{Event: strings.Repeat("e", 256)}, "event"},
		"reserved event":       {room, broker.Message{Event: "disconnecting"}, "event"},
		"no array":             {all, broker.Message{Event: "x", Args: json.RawMessage(`{"a":1}`)}, "args"},
		"no JSON":              {all, broker.Message{Event: "x", Args: json.RawMessage(`[1,]`)}, "args"},
		"two arrays":           {all, broker.Message{Event: "x", Args: json.RawMessage(`[1][2]`)}, "args"},
		"args not UTF-8":       {all, broker.Message{Event: "x", Args: json.RawMessage("[\"\xff\"]")}, "args"},
		"missing attachment":   {all, broker.Message{Event: "x", Args: json.RawMessage(`[{"_placeholder":true,"num":1}]`), Attachments: [][]byte{{1}}}, "args"},
		"unused attachment":    {all, broker.Message{Event: "x", Args: json.RawMessage(`[1]`), Attachments: [][]byte{{1}}}, "args"},
		"attachment, no args":  {all, broker.Message{Event: "x", Attachments: [][]byte{{1}}}, "attachments"},
		"too large":            {all, broker.Message{Event: "x", Args: json.RawMessage(`["` + strings.Repeat("x", 1_000_000) + `"]`)}, "args"},
		"too many attachments": {all, broker.Message{Event: "x", Attachments: make([][]byte, 65)}, "attachments"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			report, err := node.Emit(t.Context(), test.target, test.m)
			var e *broker.Error
			if !errors.As(err, &e) || e.Code != broker.CodeInvalidArgument {
				t.Fatalf("got %+v, %v; want CodeInvalidArgument", report, err)
			}
			if len(e.Fields) != 1 || e.Fields[0].Field != test.field || !strings.Contains(e.Message, test.field) {
				t.Errorf("fields %+v, message %q; want %q in both", e.Fields, e.Message, test.field)
			}
		})
	}
	for _, reserved := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if _, err := node.Emit(t.Context(), all, broker.Message{Event: reserved}); err == nil {
			t.Errorf("%q was sent", reserved)
		}
	}
	_, err := node.Emit(t.Context(), broker.Target{Namespace: "/nowhere", Everyone: true}, broker.Message{Event: "x"})
	var e *broker.Error
	if !errors.As(err, &e) || e.Code != broker.CodeNotFound || e.Reason != broker.ReasonNamespaceNotFound {
		t.Errorf("an unknown namespace: %v", err)
	}
	c.ExpectNothing()
}

func TestOnePublishersMessagesStayInOrder(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	c := node.JoinAs(node.Token("ana", broker.Permissions{Rooms: []string{"a"}}))
	const publishers, each = 4, 500
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				args := fmt.Sprintf("[%d,%d]", p, i)
				_, err := node.Emit(t.Context(), broker.Target{Rooms: []string{"a"}}, broker.Message{Event: "n", Args: json.RawMessage(args)})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [publishers]int
	for range publishers * each {
		var p, i int
		if _, err := fmt.Sscanf(c.Next().Args, "[%d,%d]", &p, &i); err != nil {
			t.Fatal(err)
		}
		if i != next[p] {
			t.Fatalf("publisher %d: got %d, want %d", p, i, next[p])
		}
		next[p]++
	}
	wg.Wait()
}
