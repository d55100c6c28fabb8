package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

func TestShutdownSendsWhatWasAccepted(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	const clients, messages = 20, 200
	joined := make([]*brokertest.Client, clients)
	for i := range joined {
		joined[i] = node.Join("ana")
	}
	waiting := node.Dial(nil) // it has not connected to a namespace yet
	for i := range messages {
		emit(t, node, broker.Target{Everyone: true}, broker.Message{Event: "n", Args: json.RawMessage(fmt.Sprintf("[%d]", i))})
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { done <- node.Shutdown(ctx) }()
	for _, c := range joined {
		for i := range messages {
			c.Expect("n", fmt.Sprintf("[%d]", i))
		}
		e := c.Next()
		if e.Name != "sala:disconnect" || !strings.Contains(e.Args, `"code":"DRAINING"`) {
			t.Errorf("got %+v, want the goodbye", e)
		}
		c.ExpectClose()
	}
	waiting.ExpectClose()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if !node.Draining() {
		t.Error("not draining after Shutdown")
	}
	list, err := node.ListNodes(t.Context())
	nodes := list.Nodes
	if err != nil || nodes[0].State != broker.NodeDraining || nodes[0].Sockets != 0 {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
	if _, err := node.TryDial(nil); err == nil {
		t.Error("a new connection was accepted")
	}
}

func TestShutdownCutsRemainingClients(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	c := node.Join("ana")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := node.Shutdown(ctx); err != nil && ctx.Err() == nil {
		t.Errorf("Shutdown: %v", err)
	}
	c.ExpectEnd()
	if err := node.Shutdown(t.Context()); err != nil {
		t.Errorf("the second Shutdown: %v", err)
	}
}

// Backends learn that a client is gone also if its connection is only cut when the time is
// over, or if it was away until then.
func TestShutdownWithoutTimeTellsBackends(t *testing.T) {
	for name, leave := range map[string]func(*absence){
		"of a client that is cut":  func(*absence) {},
		"of a client that is away": (*absence).leave,
	} {
		t.Run(name, func(t *testing.T) {
			withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
				leave(ana)
				backend, err := ana.Subscribe(broker.SubscribeOptions{Kinds: []eventhub.Kind{eventhub.Disconnect}, Credits: 1})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				done := make(chan struct{})
				go func() {
					defer close(done)
					_ = ana.Shutdown(ctx) // the error says that it was cut short
				}()
				<-backend.Ready()
				<-time.After(100 * time.Millisecond) // a backend is somewhere else
				into := make([]eventhub.Delivery, 1)
				n, err := backend.Take(into)
				if err != nil || n != 1 || into[0].Event.Socket.ID != ana.session.ID {
					t.Errorf("the backend got %d events %+v, %v; want the DISCONNECT", n, into, err)
				}
				<-done
			})
		})
	}
}
