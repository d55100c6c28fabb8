package broker_test

import (
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
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
