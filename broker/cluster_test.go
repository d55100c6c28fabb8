package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// everyoneIn is a target of all that a namespace has.
var everyoneIn = broker.Target{Everyone: true}

// spreadOut returns three nodes with a client each, all in the room "cocina",
// which is empty on no node then.
func spreadOut(t *testing.T) (nodes []*brokertest.Node, clients []*brokertest.Client, setDown func(bool)) {
	t.Helper()
	nodes, exchange := brokertest.StartCluster(t, 3, chat())
	for i, node := range nodes {
		c := node.Join(fmt.Sprint("user", i))
		if got := c.Call("join", "cocina"); got != ok {
			t.Fatalf("join: %s", got)
		}
		clients = append(clients, c)
		// Nothing orders the announcements of different nodes, but what one node
		// says is in order: when this has been answered, all have heard the other.
		there := broker.Message{Event: "there", Args: json.RawMessage(`[]`)}
		if out, err := node.Emit(t.Context(), everyoneIn, there); err != nil || out.Partial || out.Matched != i+1 {
			t.Fatalf("Emit: %+v, %v", out, err)
		}
		for _, c := range clients {
			c.Expect("message", fmt.Sprintf(`["user%d ha entrado en la sala cocina."]`, i))
			c.Expect("there", `[]`)
		}
	}
	return nodes, clients, exchange.SetDown
}

func TestEmitReachesEveryNode(t *testing.T) {
	nodes, clients, _ := spreadOut(t)
	tests := map[string]struct {
		target broker.Target
		want   []int // indices of clients
	}{
		"everyone":           {everyoneIn, []int{0, 1, 2}},
		"a room":             {broker.Target{Rooms: []string{"cocina"}}, []int{0, 1, 2}},
		"a room less a node": {broker.Target{Rooms: []string{"cocina"}, ExceptSockets: []string{clients[1].ID}}, []int{0, 2}},
		"a room less users":  {broker.Target{Rooms: []string{"cocina"}, ExceptUsers: []string{"user0", "user2"}}, []int{1}},
		"a user elsewhere":   {broker.Target{Users: []string{"user1"}}, []int{1}},
		"sockets elsewhere":  {broker.Target{Sockets: []string{clients[1].ID, clients[2].ID}}, []int{1, 2}},
		"a socket here":      {broker.Target{Sockets: []string{clients[0].ID}}, []int{0}},
		"all sorts, once":    {broker.Target{Rooms: []string{"cocina", "other"}, Users: []string{"user2"}, Sockets: []string{clients[1].ID}}, []int{0, 1, 2}},
		"nobody":             {broker.Target{Rooms: []string{"empty"}, Sockets: []string{"GONEGONEGO-x"}}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			args := json.RawMessage(`["` + name + `",1.0]`)
			report, err := nodes[0].Emit(t.Context(), test.target, broker.Message{Event: "hi", Args: args})
			if err != nil || report.Partial || report.Matched != len(test.want) || report.Queued != len(test.want) || report.Dropped != 0 {
				t.Errorf("report %+v, %v; want %d matched and queued", report, err, len(test.want))
			}
			for i, c := range clients {
				if slices.Contains(test.want, i) {
					c.Expect("hi", string(args))
				}
				c.ExpectNothing()
			}
		})
	}
}

func TestClientsOfAllNodesTalk(t *testing.T) {
	_, clients, _ := spreadOut(t)
	clients[0].Emit("my_event", map[string]string{"room": "cocina"})
	for _, c := range clients {
		c.Expect("my_response", `[{"room":"cocina"}]`)
	}
	clients[1].Send(`451-["shout",{"_placeholder":true,"num":0}]`)
	clients[1].SendBinary([]byte{1, 2})
	for _, i := range []int{0, 2} {
		if e := clients[i].Next(); e.Name != "my_response" || len(e.Attachments) != 1 || string(e.Attachments[0]) != "\x01\x02" {
			t.Errorf("client %d got %+v", i, e)
		}
	}
	clients[1].ExpectNothing()
}

func TestCallsAreForAllNodes(t *testing.T) {
	nodes, clients, _ := spreadOut(t)
	in := broker.Target{Rooms: []string{"cocina"}}
	if out, err := nodes[2].Broker.Join(t.Context(), in, []string{"b", "c"}); err != nil || out.Matched != 3 || out.Refused != 0 || out.Partial {
		t.Errorf("Join: %+v, %v", out, err)
	}
	if out, err := nodes[1].Leave(t.Context(), broker.Target{Users: []string{"user0", "user1"}}, []string{"c"}); err != nil || out.Matched != 2 || out.Partial {
		t.Errorf("Leave: %+v, %v", out, err)
	}
	if out, err := nodes[1].Update(t.Context(), broker.Target{Sockets: []string{clients[2].ID}}, json.RawMessage(`{"n":1.0}`)); err != nil || out.Matched != 1 {
		t.Errorf("Update: %+v, %v", out, err)
	}
	info, err := nodes[0].GetSocket(t.Context(), clients[2].ID)
	if err != nil || info.User != "user2" || string(info.Data) != `{"n":1.0}` || !slices.Equal(info.Rooms, []string{"b", "c", "cocina"}) || info.Transport != "websocket" ||
		info.Node == "" || !strings.HasPrefix(info.ID, info.Node) {
		t.Errorf("GetSocket: %+v, %v", info, err)
	}
	for _, node := range nodes {
		rooms, err := node.ListRooms(t.Context(), broker.RoomQuery{})
		if err != nil || rooms.Partial || fmt.Sprint(rooms.Rooms) != "[{b / 3 0 {false []}} {c / 1 0 {false []}} {cocina / 3 0 {false []}}]" {
			t.Errorf("ListRooms: %+v, %v", rooms, err)
		}
		room, err := node.GetRoom(t.Context(), "/", "cocina")
		if err != nil || room.Sockets != 3 || room.Users != 3 {
			t.Errorf("GetRoom: %+v, %v", room, err)
		}
		list, err := node.ListSockets(t.Context(), broker.SocketQuery{Room: "cocina"})
		if err != nil || list.Partial || len(list.Sockets) != 3 {
			t.Errorf("ListSockets: %+v, %v", list, err)
		}
	}
	notice := &broker.Message{Event: "bye", Args: json.RawMessage(`[1]`)}
	if out, err := nodes[0].ClearRoom(t.Context(), broker.ClearRoom{Room: "cocina", Notice: notice}); err != nil || out.Matched != 3 || out.Partial {
		t.Errorf("ClearRoom: %+v, %v", out, err)
	}
	for _, c := range clients {
		c.Expect("bye", "[1]")
	}
	if out, err := nodes[2].Disconnect(t.Context(), everyoneIn, "enough"); err != nil || out.Matched != 3 || out.Partial {
		t.Errorf("Disconnect: %+v, %v", out, err)
	}
	for _, c := range clients {
		c.Expect("sala:disconnect", `[{"code":"DISCONNECTED","reason":"enough"}]`)
		c.ExpectDisconnect()
	}
	if _, err := nodes[1].GetRoom(t.Context(), "/", "b"); !isCode(err, broker.CodeNotFound) {
		t.Errorf("GetRoom of an empty room: %v", err)
	}
}

func isCode(err error, code broker.Code) bool {
	var e *broker.Error
	return errors.As(err, &e) && e.Code == code
}

func TestListsOfAllNodesArePaged(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 3, chat())
	var ids []string
	for i := range 12 {
		c := nodes[i%3].Join("ana")
		ids = append(ids, c.ID)
		for _, room := range []string{fmt.Sprintf("r%02d", i), fmt.Sprintf("r%02d", i/2), "all"} {
			if _, err := nodes[0].Broker.Join(t.Context(), broker.Target{Sockets: []string{c.ID}}, []string{room}); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(ids)
	var rooms, sockets []string
	for q := (broker.RoomQuery{Page: broker.Page{Size: 2}}); ; {
		list, err := nodes[1].ListRooms(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Rooms {
			rooms = append(rooms, fmt.Sprint(r.Name, " ", r.Sockets))
		}
		if q.Page.Token = list.Next; list.Next == "" {
			break
		}
	}
	want := []string{"all 12", "r00 2", "r01 3", "r02 3", "r03 3", "r04 3", "r05 3", "r06 1", "r07 1", "r08 1", "r09 1", "r10 1", "r11 1"}
	if !slices.Equal(rooms, want) {
		t.Errorf("rooms %v, want %v", rooms, want)
	}
	for q := (broker.SocketQuery{Page: broker.Page{Size: 5}}); ; {
		list, err := nodes[2].ListSockets(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Sockets {
			sockets = append(sockets, s.ID)
		}
		if q.Page.Token = list.Next; list.Next == "" {
			break
		}
	}
	if !slices.Equal(sockets, ids) {
		t.Errorf("sockets %v, want %v", sockets, ids)
	}
}

// Without the bus every node serves its own clients, and results are partial.
func TestNodesWithoutTheBus(t *testing.T) {
	nodes, clients, setDown := spreadOut(t)
	setDown(true)
	eventually(t, "the node notices", nodes[0].Isolated)
	report, err := nodes[0].Emit(t.Context(), everyoneIn, broker.Message{Event: "hi"})
	if err != nil || report.Matched != 1 || report.Queued != 1 || !report.Partial {
		t.Errorf("Emit: %+v, %v", report, err)
	}
	clients[0].Expect("hi", "[]")
	if got := clients[0].Call("join", "other"); got != ok {
		t.Errorf("join: %s", got)
	}
	clients[0].Expect("message", `["user0 ha entrado en la sala other."]`)
	if report, err := nodes[0].Emit(t.Context(), broker.Target{Sockets: []string{clients[0].ID}}, broker.Message{Event: "hi"}); err != nil || report.Partial {
		t.Errorf("Emit to a socket here: %+v, %v", report, err)
	}
	clients[0].Expect("hi", "[]")
	if list, err := nodes[0].ListRooms(t.Context(), broker.RoomQuery{}); err != nil || !list.Partial || len(list.Rooms) != 2 {
		t.Errorf("ListRooms: %+v, %v", list, err)
	}
	if _, err := nodes[0].GetSocket(t.Context(), clients[1].ID); !isCode(err, broker.CodeUnavailable) {
		t.Errorf("GetSocket elsewhere: %v", err)
	}

	setDown(false)
	eventually(t, "all is well again", func() bool {
		list, err := nodes[0].ListNodes(t.Context())
		return err == nil && !list.Partial && len(list.Nodes) == 3
	})
	eventually(t, "the others receive again", func() bool {
		report, err := nodes[0].Emit(t.Context(), broker.Target{Rooms: []string{"cocina"}}, broker.Message{Event: "back"})
		return err == nil && !report.Partial && report.Queued == 3
	})
}
