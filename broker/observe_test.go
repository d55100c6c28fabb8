package broker_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/outcome"
)

// An observer gets the events of clients, which are answered as if it weren't there.
func TestObserversHandleNothing(t *testing.T) {
	node := brokertest.Start(t, broker.Options{})
	observer, err := node.Subscribe(broker.SubscribeOptions{Observe: true, Kinds: []eventhub.Kind{eventhub.Message}, Credits: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer observer.Close()
	c := node.Join("ana")
	if got := c.Call("say", "hello"); !strings.Contains(got, `"NO_HANDLER"`) {
		t.Errorf("the ack is %s", got)
	}
	seen := func(name string) {
		t.Helper()
		<-observer.Ready()
		var into [2]eventhub.Delivery
		if n, err := observer.Take(into[:]); n != 1 || err != nil || into[0].Event.Name != name || into[0].NeedsAck {
			t.Errorf("the observer took %d, %v: %+v", n, err, into[0])
		}
	}
	seen("say")

	handler, err := node.Subscribe(broker.SubscribeOptions{Events: []string{"ask"}, Kinds: []eventhub.Kind{eventhub.Message}, Credits: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Close()
	go func() {
		<-handler.Ready()
		var into [1]eventhub.Delivery
		if n, err := handler.Take(into[:]); n == 1 && err == nil && into[0].NeedsAck {
			_ = handler.Reply(into[0].ID, eventhub.Reply{Args: []byte(`["hi"]`)})
		}
	}()
	if got := c.Call("ask", "hello"); got != `["hi"]` {
		t.Errorf("the ack is %s", got)
	}
	seen("ask")
}

// A tail shows the id with which backends get an event and answer it.
func TestTailNamesDeliveries(t *testing.T) {
	node := brokertest.Start(t, broker.Options{Relay: []broker.RelayRule{{Event: "echo", To: broker.RelayToSender}}})
	backend, err := node.Subscribe(broker.SubscribeOptions{Group: "g", Events: []string{"ask", "tell", "echo"}, Kinds: []eventhub.Kind{eventhub.Message, eventhub.Join}, Credits: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	tail, err := node.Tail(t.Context(), broker.TailOptions{Owner: "test", Filter: outcome.Filter{Kinds: []outcome.Kind{outcome.Message, outcome.Answer}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	received := map[string]uint64{}
	receive := func() {
		<-backend.Ready()
		var into [1]eventhub.Delivery
		if n, err := backend.Take(into[:]); n != 1 || err != nil {
			t.Error(n, err)
			return
		}
		received[into[0].Event.Name] = into[0].ID
		if into[0].NeedsAck {
			if err := backend.Reply(into[0].ID, eventhub.Reply{}); err != nil {
				t.Error(err)
			}
		}
	}
	c := node.Join("ana")
	c.Emit("tell", 1)
	receive()
	c.Emit("echo", 1)
	receive()
	answered := make(chan struct{})
	go func() {
		receive()
		close(answered)
	}()
	c.Call("ask", 1)
	<-answered
	c.Call("unheard", 1)

	shown := map[string][]uint64{}
	for shown["unheard"] == nil {
		<-tail.Ready()
		events, _ := tail.Take()
		for _, e := range events {
			shown[e.Name] = append(shown[e.Name], e.DeliveryID)
		}
	}
	want := map[string][]uint64{
		"tell": {received["tell"]}, "echo": {received["echo"]}, "ask": {received["ask"], received["ask"]}, "unheard": {0},
	}
	if !reflect.DeepEqual(shown, want) || received["ask"] == 0 {
		t.Errorf("shown are %v, want %v", shown, want)
	}
}
