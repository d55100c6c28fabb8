package broker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

func TestJoinAndLeaveByBackend(t *testing.T) {
	node := brokertest.Start(t, broker.Options{MaxRoomsPerSocket: 2})
	ana, luis := node.Join("ana"), node.Join("luis")
	target := broker.Target{Users: []string{"ana", "luis"}}
	if out, err := node.Broker.Join(t.Context(), target, []string{"a"}); out.Matched != 2 || out.Refused != 0 || err != nil {
		t.Fatalf("Join: %+v, %v", out, err)
	}
	if _, err := node.Broker.Join(t.Context(), broker.Target{Sockets: []string{ana.ID}}, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	// ana can take one room less than this, luis can take it.
	if out, err := node.Broker.Join(t.Context(), target, []string{"c"}); out.Matched != 2 || out.Refused != 1 || err != nil {
		t.Errorf("Join at the limit: %+v, %v", out, err)
	}
	if got := roomsOf(t, node, luis.ID); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("luis is in %v", got)
	}
	if out, err := node.Leave(t.Context(), target, []string{"a", "b", "not there"}); out.Matched != 2 || err != nil {
		t.Errorf("Leave: %+v, %v", out, err)
	}
	if got := roomsOf(t, node, ana.ID); len(got) != 0 {
		t.Errorf("ana is in %v", got)
	}
	for _, rooms := range [][]string{nil, {""}, make([]string, 101)} {
		if _, err := node.Broker.Join(t.Context(), target, rooms); err == nil {
			t.Errorf("joined the rooms %q", rooms)
		}
	}
}

func roomsOf(t *testing.T, node *brokertest.Node, id string) []string {
	t.Helper()
	info, err := node.GetSocket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return info.Rooms
}

func TestClearRoom(t *testing.T) {
	node := brokertest.Start(t, chat())
	ana, luis, eva := node.Join("ana"), node.Join("luis"), node.Join("eva")
	in := broker.Target{Users: []string{"ana", "luis"}}
	if _, err := node.Broker.Join(t.Context(), in, []string{"cocina", "stays"}); err != nil {
		t.Fatal(err)
	}
	notice := &broker.Message{Event: "message", Args: json.RawMessage(`["La sala cocina ha sido eliminada."]`)}
	out, err := node.ClearRoom(t.Context(), broker.ClearRoom{Room: "cocina", Notice: notice})
	removed := out.Matched
	if removed != 2 || err != nil {
		t.Fatalf("ClearRoom: %d, %v", removed, err)
	}
	emit(t, node, broker.Target{Rooms: []string{"cocina"}}, broker.Message{Event: "after"})
	for _, c := range []*brokertest.Client{ana, luis} {
		c.Expect("message", `["La sala cocina ha sido eliminada."]`)
		c.ExpectNothing()
	}
	eva.ExpectNothing()
	list, err := node.ListRooms(t.Context(), broker.RoomQuery{})
	rooms := list.Rooms
	if err != nil || len(rooms) != 1 || rooms[0].Name != "stays" {
		t.Errorf("rooms %v, %v; want only the other one", rooms, err)
	}
	if out, err := node.ClearRoom(t.Context(), broker.ClearRoom{Room: "cocina"}); out.Matched != 0 || err != nil {
		t.Errorf("clearing an empty room: %+v, %v", out, err)
	}

	if _, err := node.ClearRoom(t.Context(), broker.ClearRoom{Room: "stays", Notice: notice, Disconnect: true}); err != nil {
		t.Fatal(err)
	}
	luis.Expect("message", `["La sala cocina ha sido eliminada."]`)
	luis.Expect("sala:disconnect", `[{"code":"DISCONNECTED","reason":"the room stays was cleared"}]`)
	luis.ExpectDisconnect()
}

func TestDisconnect(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	ana, luis := node.Join("ana"), node.Join("luis")
	for i := range 100 {
		emit(t, node, broker.Target{Users: []string{"ana"}}, broker.Message{Event: "n", Args: json.RawMessage(fmt.Sprintf("[%d]", i))})
	}
	if out, err := node.Disconnect(t.Context(), broker.Target{Users: []string{"ana"}}, "too loud"); out.Matched != 1 || err != nil {
		t.Fatalf("Disconnect: %+v, %v", out, err)
	}
	for i := range 100 {
		ana.Expect("n", fmt.Sprintf("[%d]", i))
	}
	ana.Expect("sala:disconnect", `[{"code":"DISCONNECTED","reason":"too loud"}]`)
	ana.ExpectDisconnect()
	ana.ExpectClose()
	luis.ExpectNothing()
	if _, err := node.GetSocket(t.Context(), ana.ID); err == nil {
		t.Error("the socket is still there")
	}
}
