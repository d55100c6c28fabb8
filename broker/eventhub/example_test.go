package eventhub_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/salabroker/sala/broker/eventhub"
)

// A backend subscribes, takes an event that a client wants an ack for, and answers it.
func Example() {
	hub := eventhub.New(eventhub.Options{})
	defer func() { _ = hub.Close(context.Background()) }()
	sub, err := hub.Subscribe(eventhub.SubscribeOptions{Group: "chat", Credits: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()

	say := &eventhub.Event{
		Kind:      eventhub.Message,
		Namespace: "/",
		Socket:    &eventhub.Socket{ID: "YSKDATRZ", User: "ana", Namespace: "/"},
		Name:      "say",
		Args:      json.RawMessage(`["hello"]`),
	}
	hub.Ask(say, func(r eventhub.Reply) { fmt.Println("the client gets", string(r.Args)) })

	<-sub.Ready()
	var into [16]eventhub.Delivery
	n, err := sub.Take(into[:])
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range into[:n] {
		fmt.Println(d.Event.Socket.User, d.Event.Name, string(d.Event.Args))
		if d.NeedsAck {
			if err := sub.Reply(d.ID, eventhub.Reply{Args: json.RawMessage(`[{"id":7}]`)}); err != nil {
				fmt.Println(err)
			}
		}
	}
	// Output:
	// ana say ["hello"]
	// the client gets [{"id":7}]
}
