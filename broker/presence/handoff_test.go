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

// A node that is about to find out for another one whether a user has left isn't told that the user has come
// elsewhere, but asked about that while it waits for answers. Then it asks again, and announces nothing.
func TestComesWhileAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := Place{Namespace: "/", User: "ana"}
		var tracker *Tracker
		asked := 0
		var announced []Change
		tracker = New(Options{
			Self: "a", Local: func(Place) Local { return Absent }, Dropped: func() {},
			Announce: func(c Change) { announced = append(announced, c) },
			Ask: func(_ context.Context, q *wire.AskPresence) (map[string]*wire.PresenceAnswers, bool) {
				asked++
				answer := &wire.PresenceAnswer{}
				came := time.Now().UnixNano()
				if asked == 1 { // b has answered, and then the user comes there
					ask := &wire.AskPresence{Questions: []*wire.PresenceQuestion{{Place: place.Wire(), Time: came}}}
					if got := tracker.Answer("b", ask).GetAnswers()[0].GetState(); got != wire.PresenceAnswer_STATE_UNSURE {
						t.Errorf("the answer is %v", got)
					}
				} else {
					answer.State, answer.Time = wire.PresenceAnswer_STATE_COMING, came
				}
				return map[string]*wire.PresenceAnswers{"b": {Clock: came, Answers: []*wire.PresenceAnswer{answer}}}, true
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tracker.Run(ctx) })
		tracker.Adopt(&wire.AdoptLeaves{Leaves: []*wire.WaitingLeave{{Place: place.Wire()}}})
		<-time.After(time.Minute)
		cancel()
		running.Wait()
		if asked != 2 || len(announced) > 0 {
			t.Errorf("asked %d times, announced %v, want nothing announced", asked, announced)
		}
	})
}

// A node asks whether a user has left, and meanwhile passes it on to another one, whose question was late: the user
// has left that one, too, which leaves it to this one, or has passed it on as well. So this node asks again.
func TestPassedOnTooLate(t *testing.T) {
	for _, state := range []wire.PresenceAnswer_State{
		wire.PresenceAnswer_STATE_LEAVING, wire.PresenceAnswer_STATE_PASSED, wire.PresenceAnswer_STATE_COMING,
	} {
		t.Run(state.String(), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testPassedOnTooLate(t, state) }) })
	}
}

func testPassedOnTooLate(t *testing.T, state wire.PresenceAnswer_State) {
	place := Place{Namespace: "/", User: "ana"}
	var tracker *Tracker
	asked := 0
	var announced []Change
	tracker = New(Options{
		Self: "a", Local: func(Place) Local { return Absent }, Dropped: func() {},
		Announce: func(c Change) { announced = append(announced, c) },
		Ask: func(_ context.Context, q *wire.AskPresence) (map[string]*wire.PresenceAnswers, bool) {
			asked++
			answer := &wire.PresenceAnswer{}
			if asked == 1 {
				before := q.GetQuestions()[0].GetTime() - 1
				answer.State, answer.Time = state, before
				late := &wire.AskPresence{Questions: []*wire.PresenceQuestion{{Place: place.Wire(), Time: before}}}
				if got := tracker.Answer("b", late).GetAnswers()[0].GetState(); got != wire.PresenceAnswer_STATE_PASSED {
					t.Errorf("the answer is %v", got)
				}
			}
			return map[string]*wire.PresenceAnswers{"b": {Answers: []*wire.PresenceAnswer{answer}}}, true
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tracker.Run(ctx) })
	tracker.Left(place, false)
	<-time.After(time.Minute)
	cancel()
	running.Wait()
	want := 1
	if state == wire.PresenceAnswer_STATE_COMING { // the other node has the user, and finds out
		want = 0
	}
	if len(announced) != want {
		t.Errorf("asked %d times, announced %v, want %d announced", asked, announced, want)
	}
}
