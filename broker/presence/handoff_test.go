package presence

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// A node that drains hands over more users than it remembers.
func BenchmarkHandedOver(b *testing.B) {
	t := New(Options{Local: func(Place) Local { return Absent }, Announce: func(Change) {}, Dropped: func() {}})
	for n := range 2 * maxHanded {
		t.HandedOver(Place{Namespace: "/", User: fmt.Sprint(n)}, "b")
	}
	for n := 0; b.Loop(); n++ {
		t.HandedOver(Place{Namespace: "/", User: fmt.Sprint(n % maxHanded)}, "b")
	}
}

// A node that ends answers with what it knows until it is gone.
func TestAnswersAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		announced := make(chan Change, 1)
		tracker := New(Options{
			Self: "a", Local: func(Place) Local { return Absent }, Announce: func(c Change) { announced <- c }, Dropped: func() {},
			Adopt: func(context.Context, *wire.AdoptLeaves) bool { return true },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tracker.Run(ctx) })
		place := Place{Namespace: "/", User: "ana"}
		tracker.Left(place, false)
		<-announced
		tracker.Close(ctx)
		cancel()
		running.Wait()
		ask := &wire.AskPresence{Questions: []*wire.PresenceQuestion{{Place: place.Wire(), Time: time.Now().UnixNano()}}}
		state := func() wire.PresenceAnswer_State { return tracker.Answer("b", ask).GetAnswers()[0].GetState() }
		if got := state(); got != wire.PresenceAnswer_STATE_LEFT {
			t.Errorf("after Close: %v", got)
		}
		<-time.After(keepFor)
		if got := state(); got != wire.PresenceAnswer_STATE_UNSPECIFIED {
			t.Errorf("much later: %v", got)
		}
	})
}
