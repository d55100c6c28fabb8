package eventhub

import (
	"fmt"
	"testing"
)

// BenchmarkHub publishes to one member that takes every event.
func BenchmarkHub(b *testing.B) {
	events := make([]*Event, 100)
	for i := range events {
		events[i] = message(fmt.Sprint("socket-", i), "chat")
	}
	for _, asks := range []bool{false, true} {
		b.Run(fmt.Sprintf("asks=%t", asks), func(b *testing.B) {
			h := New(Options{})
			defer func() { _ = h.Close(b.Context()) }()
			s, err := h.Subscribe(SubscribeOptions{Group: "g", Credits: 100_000})
			if err != nil {
				b.Fatal(err)
			}
			into := make([]Delivery, 100)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if asks {
					h.Ask(events[i%len(events)], func(Reply) {})
				} else {
					h.Publish(events[i%len(events)])
				}
				if i%len(events) != len(events)-1 {
					continue
				}
				n, err := s.Take(into)
				if err != nil {
					b.Fatal(err)
				}
				for _, d := range into[:n] {
					if d.NeedsAck && s.Reply(d.ID, Reply{}) != nil {
						b.Fatal("Reply failed")
					}
				}
				if err := s.Credit(n); err != nil {
					b.Fatal(err)
				}
			}
			s.Close()
		})
	}
	b.Run("nobody", func(b *testing.B) {
		h := New(Options{})
		defer func() { _ = h.Close(b.Context()) }()
		for b.Loop() {
			if h.Wants(Message, "/", "chat") {
				b.Fatal("an event is wanted")
			}
		}
	})
}
