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
	if matched, refused, err := node.Broker.Join(t.Context(), target, []string{"a"}); matched != 2 || refused != 0 || err != nil {
		t.Fatalf("Join: %d, %d, %v", matched, refused, err)
	}
	if _, _, err := node.Broker.Join(t.Context(), broker.Target{Sockets: []string{ana.ID}}, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	// ana can take one room less than this, luis can take it.
	if matched, refused, err := node.Broker.Join(t.Context(), target, []string{"c"}); matched != 2 || refused != 1 || err != nil {
		t.Errorf("Join at the limit: %d, %d, %v", matched, refused, err)
	}
	if got := roomsOf(t, node, luis.ID); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("luis is in %v", got)
	}
	if matched, err := node.Leave(t.Context(), target, []string{"a", "b", "not there"}); matched != 2 || err != nil {
		t.Errorf("Leave: %d, %v", matched, err)
	}
	if got := roomsOf(t, node, ana.ID); len(got) != 0 {
		t.Errorf("ana is in %v", got)
	}
	for _, rooms := range [][]string{nil, {""}, make([]string, 101)} {
		if _, _, err := node.Broker.Join(t.Context(), target, rooms); err == nil {
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
	if _, _, err := node.Broker.Join(t.Context(), in, []string{"cocina", "stays"}); err != nil {
		t.Fatal(err)
	}
	notice := &broker.Message{Event: "message", Args: json.RawMessage(`["La sala cocina ha sido eliminada."]`)}
	removed, err := node.ClearRoom(t.Context(), broker.ClearRoom{Room: "cocina", Notice: notice})
	if removed != 2 || err != nil {
		t.Fatalf("ClearRoom: %d, %v", removed, err)
	}
	emit(t, node, broker.Target{Rooms: []string{"cocina"}}, broker.Message{Event: "after"})
	for _, c := range []*brokertest.Client{ana, luis} {
		c.Expect("message", `["La sala cocina ha sido eliminada."]`)
		c.ExpectNothing()
	}
	eva.ExpectNothing()
	rooms, _, err := node.ListRooms(t.Context(), broker.RoomQuery{})
	if err != nil || len(rooms) != 1 || rooms[0].Name != "stays" {
		t.Errorf("rooms %v, %v; want only the other one", rooms, err)
	}
	if removed, err := node.ClearRoom(t.Context(), broker.ClearRoom{Room: "cocina"}); removed != 0 || err != nil {
		t.Errorf("clearing an empty room: %d, %v", removed, err)
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
	if matched, err := node.Disconnect(t.Context(), broker.Target{Users: []string{"ana"}}, "too loud"); matched != 1 || err != nil {
		t.Fatalf("Disconnect: %d, %v", matched, err)
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
