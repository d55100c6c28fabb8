package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// returning connects a client with a session, or returns to the session of pid, and
// returns the client's new pid.
func returning(t *testing.T, n *brokertest.Node, token, pid string) (c *brokertest.Client, newPID string) {
	t.Helper()
	c = n.Dial(nil)
	auth := map[string]any{"token": token, "recover": true}
	if pid != "" {
		auth["pid"] = pid
	}
	answer := c.Connect("/", auth)
	var body struct{ Pid string }
	if !strings.HasPrefix(answer, "40{") || json.Unmarshal([]byte(answer[2:]), &body) != nil {
		t.Fatalf("connect was answered with %s", answer)
	}
	return c, body.Pid
}

// accept answers an event that needs a decision.
func accept(b *backend, e *salav1.ClientEvent) {
	b.t.Helper()
	if e.GetKind() != salav1.EventKind_EVENT_KIND_CONNECT || !e.GetNeedsDecision() {
		b.t.Fatalf("got the event %v, want one that needs a decision", e)
	}
	b.send(decisionRequest(&salav1.EventDecision{
		DeliveryId: e.GetDeliveryId(), Decision: &salav1.EventDecision_Accept{Accept: &salav1.EventAccept{}},
	}))
}

// Backends decide again about a client that returns, as the socket that it was.
func TestDecisionsAboutReturns(t *testing.T) {
	n := brokertest.Start(t, broker.Options{Recovery: &broker.RecoveryOptions{}})
	h := start(t, n.Broker)
	b := h.backend(t, &salav1.SubscribeStart{
		Credits: 100, Decide: true, Kinds: []salav1.EventKind{1, 2, 8, 9},
	})
	kind := func(want salav1.EventKind, socket string) *salav1.ClientEvent {
		t.Helper()
		e := b.event()
		if e.GetKind() != want || e.GetNeedsDecision() || e.GetSocket().GetId() != socket {
			t.Fatalf("got %v, want the kind %s of %s", e, want, socket)
		}
		return e
	}
	token := n.Token("ana", brokertest.Everything)

	connected := make(chan struct{})
	var c *brokertest.Client
	var pid string
	go func() {
		defer close(connected)
		c, pid = returning(t, n, token, "")
	}()
	accept(b, b.event())
	<-connected
	id := c.ID
	first := kind(salav1.EventKind_EVENT_KIND_CONNECT, id)
	c.Close()
	kind(salav1.EventKind_EVENT_KIND_AWAY, id)

	connected = make(chan struct{})
	go func() {
		defer close(connected)
		c, _ = returning(t, n, token, pid)
	}()
	again := b.event()
	if s := again.GetSocket(); s.GetId() != id || !s.GetConnectTime().AsTime().Equal(first.GetSocket().GetConnectTime().AsTime()) || strings.Contains(s.GetAuthJson(), "pid") {
		t.Errorf("asked about %v, want the socket %s", s, id)
	}
	accept(b, again)
	<-connected
	if c.ID != id {
		t.Errorf("the client is the socket %s, want %s", c.ID, id)
	}
	resumed := kind(salav1.EventKind_EVENT_KIND_RESUMED, id)
	if s := resumed.GetSocket(); s.GetAddress() == first.GetSocket().GetAddress() || s.GetTransport() != "websocket" {
		t.Errorf("resumed as %v; it was %v before", s, first.GetSocket())
	}
	c.Send("41")
	kind(salav1.EventKind_EVENT_KIND_DISCONNECT, id)
}

// The member of a group that has a socket keeps it while the socket is away and
// when its client returns.
func TestReturningSocketsKeepTheirMember(t *testing.T) {
	n := brokertest.Start(t, broker.Options{Recovery: &broker.RecoveryOptions{}})
	h := start(t, n.Broker)
	join := &salav1.SubscribeStart{Group: "g", Credits: 1000, Kinds: []salav1.EventKind{1, 2, 8, 9}}
	first := h.backend(t, join)
	token := n.Token("ana", brokertest.Everything)
	const sockets = 10
	pids := make(map[string]string)
	for range sockets {
		c, pid := returning(t, n, token, "")
		first.event()
		pids[c.ID] = pid
		c.Close()
		if e := first.event(); e.GetKind() != salav1.EventKind_EVENT_KIND_AWAY || e.GetSocket().GetId() != c.ID {
			t.Fatalf("got %v, want that %s is away", e, c.ID)
		}
	}
	h.backend(t, join) // which would get half of new sockets
	for id, pid := range pids {
		c, _ := returning(t, n, token, pid)
		if e := first.event(); e.GetKind() != salav1.EventKind_EVENT_KIND_RESUMED || e.GetSocket().GetId() != id || c.ID != id {
			t.Fatalf("the first member got %v, want that %s is back; the client is %s", e, id, c.ID)
		}
	}
}

// Every node of a cluster counts and shows the sockets of the others that are away.
func TestSessionsOfOtherNodes(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Recovery: &broker.RecoveryOptions{}})
	h := start(t, nodes[1].Broker)
	b := h.backend(t, &salav1.SubscribeStart{Credits: 100, Kinds: []salav1.EventKind{1, 2, 8, 9}})
	event := func(want salav1.EventKind) *salav1.ClientEvent {
		t.Helper()
		e := b.event()
		if e.GetKind() != want {
			t.Fatalf("got %v, want the kind %s", e, want)
		}
		return e
	}
	token := nodes[0].Token("ana", brokertest.Everything)
	c, pid := returning(t, nodes[0], token, "")
	id := c.ID
	event(salav1.EventKind_EVENT_KIND_CONNECT)
	c.Close()
	if e := event(salav1.EventKind_EVENT_KIND_AWAY); e.GetSocket().GetId() != id || e.GetReason() == "" {
		t.Errorf("got %v", e)
	}
	messages, ctx := salav1.NewMessageServiceClient(h.conn), as(t, adminKey)
	emitted, err := messages.Emit(ctx, &salav1.EmitRequest{Users: []string{"ana"}, Event: "news", ArgsJson: "[1]"})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, emitted, &salav1.EmitResponse{Matched: 1, Kept: 1})
	broadcast, err := messages.Broadcast(ctx, &salav1.BroadcastRequest{Event: "news", Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	wantProto(t, broadcast, &salav1.BroadcastResponse{Matched: 1, Dropped: 1})
	list, err := salav1.NewSocketServiceClient(h.conn).ListSockets(ctx, &salav1.ListSocketsRequest{User: "ana"})
	if err != nil || len(list.GetSockets()) != 1 || list.GetSockets()[0].GetState() != salav1.SocketState_SOCKET_STATE_AWAY {
		t.Errorf("listed %v, %v", list, err)
	}
	c, _ = returning(t, nodes[0], token, pid)
	if e := event(salav1.EventKind_EVENT_KIND_RESUMED); e.GetSocket().GetId() != id || c.ID != id {
		t.Errorf("got %v, want that %s is back; the client is %s", e, id, c.ID)
	}
	if e := c.Next(); e.Name != "news" || !strings.HasPrefix(e.Args, `[1,"`) {
		t.Errorf("the client got %v", e)
	}
}
