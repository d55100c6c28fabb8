package broker_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

func nodeID(t *testing.T, node *brokertest.Node) string {
	t.Helper()
	list, err := node.ListNodes(t.Context())
	nodes := list.Nodes
	if err != nil || len(nodes) != 1 {
		t.Fatalf("the nodes are %v, %v", nodes, err)
	}
	return nodes[0].ID
}

// expectGoodbye reads up to the end of a client that is sent away.
func expectGoodbye(t *testing.T, c *brokertest.Client) {
	t.Helper()
	if e := c.Next(); e.Name != "sala:disconnect" || !strings.Contains(e.Args, `"code":"DRAINING"`) {
		t.Errorf("got %+v, want the goodbye", e)
	}
	c.ExpectClose()
}

func TestDrainKeepsTheProcess(t *testing.T) {
	node := brokertest.Start(t, broker.Options{ConnectTimeout: time.Minute})
	ana, ben := node.Join("ana"), node.Join("ben")
	idle := node.Dial(nil)
	idle.Connect("/nowhere", nil) // it is surely there when this is refused
	emit(t, node, broker.Target{Everyone: true}, broker.Message{Event: "last", Args: json.RawMessage(`[1]`)})
	for range 2 { // the second time nothing more happens
		info, err := node.Drain(t.Context(), nodeID(t, node))
		if err != nil || info.State != broker.NodeDraining || info.ID != nodeID(t, node) {
			t.Fatalf("Drain = %+v, %v", info, err)
		}
	}
	if !node.Draining() {
		t.Error("the node is still ready")
	}
	for _, c := range []*brokertest.Client{ana, ben} {
		c.Expect("last", "[1]")
		expectGoodbye(t, c)
	}
	// After a connect_error, a stock client would never connect again.
	idle.Send(`40{"token":"` + node.Token("eve", broker.Permissions{}) + `"}`)
	idle.ExpectClose()
	if _, err := node.TryDial(nil); err == nil {
		t.Error("a new connection was accepted")
	}
	if _, err := node.IssueToken(t.Context(), broker.TokenRequest{User: "ana"}); err != nil {
		t.Errorf("the rest doesn't work any more: %v", err)
	}
}

func TestDrainOfNobody(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	_, err := node.Drain(t.Context(), "nobody")
	wantReason(t, err, broker.CodeNotFound, broker.ReasonNodeNotFound)
	_, err = node.Drain(t.Context(), "")
	wantReason(t, err, broker.CodeInvalidArgument, broker.ReasonInvalidArgument)
	if node.Draining() {
		t.Error("it drains all the same")
	}
}

// While some clients are sent away, the others keep working.
func TestDrainIsSpread(t *testing.T) { synctest.Test(t, drainIsSpread) }

func drainIsSpread(t *testing.T) {
	node := brokertest.StartInMemory(t, broker.Options{DrainSpread: time.Hour})
	clients := make([]*brokertest.Client, 200) // at 10 ms each these take 2 s
	for i := range clients {
		clients[i] = node.Join("ana")
	}
	if _, err := node.Drain(t.Context(), nodeID(t, node)); err != nil {
		t.Fatal(err)
	}
	expectGoodbye(t, clients[0])
	if report := emit(t, node, broker.Target{Everyone: true}, broker.Message{Event: "more"}); report.Queued == 0 {
		t.Error("all were sent away at once")
	}
	// Shutdown doesn't wait for the spread longer than half of its time.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- node.Shutdown(ctx) }()
	for _, c := range clients[1:] {
		c.Skip("more")
		expectGoodbye(t, c)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
