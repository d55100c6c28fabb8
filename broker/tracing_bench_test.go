package broker_test

import (
	"encoding/json"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/eventhub"
)

// BenchmarkWithoutTracing measures the paths that have spans, with tracing off.
func BenchmarkWithoutTracing(b *testing.B) {
	args := json.RawMessage(`["hello"]`)
	b.Run("emit", func(b *testing.B) {
		node := brokertest.Start(b, chat())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := node.Emit(b.Context(), broker.Target{Rooms: []string{"room"}}, broker.Message{Event: "hi", Args: args}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("emit to a cluster", func(b *testing.B) {
		nodes, _ := brokertest.StartCluster(b, 2, chat())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := nodes[0].Emit(b.Context(), everyoneIn, broker.Message{Event: "hi", Args: args}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("relay", func(b *testing.B) {
		node := brokertest.Start(b, chat())
		ana := node.Join("ana")
		b.ReportAllocs()
		for b.Loop() {
			ana.Call("shout", "hello")
		}
	})
	b.Run("event", func(b *testing.B) {
		node := brokertest.Start(b, chat())
		sub, err := node.Subscribe(broker.SubscribeOptions{Credits: 1000})
		if err != nil {
			b.Fatal(err)
		}
		ana := node.Join("ana")
		go func() {
			deliveries := make([]eventhub.Delivery, 16)
			for {
				select {
				case <-sub.Done():
					return
				case <-sub.Ready():
				}
				n, _ := sub.Take(deliveries)
				_ = sub.Credit(max(n, 1))
				for _, d := range deliveries[:n] {
					if d.NeedsAck {
						_ = sub.Reply(d.ID, eventhub.Reply{})
					}
				}
			}
		}()
		b.ReportAllocs()
		for b.Loop() {
			ana.Call("question", "hello")
		}
		sub.Close()
	})
}
