package broker_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// TestNothingLooksComplete cuts one of three nodes off, and compares what every
// call says with what clients get.
func TestNothingLooksComplete(t *testing.T) {
	for name, fault := range map[string]clustertest.Fault{
		"severed": clustertest.Severed, "unsubscribed": clustertest.Unsubscribed, "deaf": clustertest.Deaf,
	} {
		t.Run("in memory, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := clustertest.NewExchange()
				buses := []cluster.Bus{x.Bus(), x.Bus(), x.Bus()}
				nothingLooksComplete(t, buses, true, func() { x.SetFault(buses[2], fault) })
			})
		})
	}
	for name, cut := range map[string]func(*clustertest.Proxy){
		"severed":      (*clustertest.Proxy).Cut,
		"unsubscribed": (*clustertest.Proxy).CutReceiving,
		"deaf":         (*clustertest.Proxy).StopReceiving,
	} {
		t.Run("over Redis, "+name, func(t *testing.T) {
			server := clustertest.Start(t)
			proxy := clustertest.StartProxy(t, server.Port)
			buses := []cluster.Bus{redisBus(t, server.URL()), redisBus(t, server.URL()), redisBus(t, proxy.URL())}
			nothingLooksComplete(t, buses, false, func() { cut(proxy) })
		})
	}
}

func redisBus(t *testing.T, url string) cluster.Bus {
	t.Helper()
	bus, err := redis.New(redis.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

// nothingLooksComplete cuts the last of three buses off. Calls are few and quick,
// as the node is taken for lost after four seconds. In a bubble, the second node always
// answers in time. Outside it may be late; then it must be named as well.
func nothingLooksComplete(t *testing.T, buses []cluster.Bus, bubble bool, cut func()) {
	t.Helper()
	start := brokertest.Start
	if bubble {
		start = brokertest.StartInMemory
	}
	nodes := startNodesWith(t, start, 3, broker.Options{}, func(i int) cluster.Bus { return buses[i] })
	users := []string{"user0", "user1", "user2"}
	var clients []*brokertest.Client
	var sockets []string
	for i, node := range nodes {
		c := join(t, node, users[i])
		clients, sockets = append(clients, c), append(sockets, c.ID)
	}
	hi := broker.Message{Event: "hi", Args: json.RawMessage(`[]`)}
	here := nodes[0]
	eventually(t, "all are there", func() bool {
		report, err := here.Emit(t.Context(), everyoneInLobby, broker.Message{Event: "before", Args: json.RawMessage(`[]`)})
		return err == nil && report.Queued == 3 && !report.Partial
	})
	lost := clients[2].ID[:cluster.NodeIDBytes]
	cut()

	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	short := func() context.Context { return within(200 * time.Millisecond) }
	second := clients[1].ID[:cluster.NodeIDBytes]
	// wantPartial reports whether only the lost node is missing.
	wantPartial := func(what string, c broker.PartialResult, err error) bool {
		t.Helper()
		late := slices.DeleteFunc(slices.Clone(c.Missing), func(id string) bool { return id == lost })
		if err != nil || !c.Partial || len(late) == len(c.Missing) || len(late) > 0 && (bubble || !slices.Equal(late, []string{second})) {
			t.Errorf("%s: %+v, %v; want %s missing", what, c, err, lost)
		}
		return len(late) == 0
	}
	targets := map[string]broker.Target{
		"room":    everyoneInLobby,
		"all":     {Everyone: true},
		"users":   {Users: users},
		"a user":  {Users: users[2:]},
		"sockets": {Sockets: sockets},
	}
	for name, target := range targets {
		message := broker.Message{Event: "now", Args: json.RawMessage(`["` + name + `"]`)}
		report, err := here.Emit(short(), target, message)
		exact := wantPartial("emit to "+name, report.PartialResult, err)
		got := 0
		for _, c := range clients {
			got += len(slices.DeleteFunc(c.Take(), func(e brokertest.Event) bool { return e.Args != string(message.Args) }))
		}
		if exact && (report.Queued != got || report.Matched != got) {
			t.Errorf("emit to %s: %+v, but %d clients got it", name, report, got)
		}
	}
	// It returns once the node that is left has said that nobody answered there.
	summary, err := here.EmitWithAck(within(time.Second), everyoneInLobby, hi, broker.AckOptions{Timeout: 50 * time.Millisecond}, func(broker.Ack) error { return nil })
	wantPartial("EmitWithAck", summary.PartialResult, err)
	room, err := here.GetRoom(short(), "/", "lobby")
	if wantPartial("GetRoom", room.PartialResult, err) && (room.Sockets != 2 || room.Users != 2) {
		t.Errorf("GetRoom: %+v, want the two that can be counted", room)
	}
	rooms, err := here.ListRooms(short(), broker.RoomQuery{})
	wantPartial("ListRooms", rooms.PartialResult, err)
	list, err := here.ListSockets(short(), broker.SocketQuery{})
	wantPartial("ListSockets", list.PartialResult, err)
	if _, err := here.GetSocket(short(), clients[2].ID); !isCode(err, broker.CodeUnavailable) {
		t.Errorf("GetSocket: %v", err)
	}
	out, err := here.Broker.Join(short(), everyoneInLobby, []string{"other"})
	wantPartial("Join", out.PartialResult, err)
	out, err = here.Leave(short(), everyoneInLobby, []string{"other"})
	wantPartial("Leave", out.PartialResult, err)
	out, err = here.Update(short(), everyoneInLobby, json.RawMessage(`{}`))
	wantPartial("Update", out.PartialResult, err)
	revoked, err := here.RevokeTokens(short(), broker.RevokeTokens{User: "nobody"})
	wantPartial("RevokeTokens", revoked.PartialResult, err)
	out, err = here.ClearRoom(short(), broker.ClearRoom{Room: "lobby"})
	wantPartial("ClearRoom", out.PartialResult, err)
	out, err = here.Disconnect(short(), broker.Target{Everyone: true}, "")
	if wantPartial("Disconnect", out.PartialResult, err) && out.Matched != 2 {
		t.Errorf("Disconnect: %+v, want the two that can be reached", out)
	}
	clients[2].Call("nobody handles this") // it lives
}
