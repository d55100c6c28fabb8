package recording

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
)

func TestAwaitWaitsForWhatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrace()
		if err := g.await(t.Context()); err != nil {
			t.Fatalf("nothing has begun: %v", err)
		}
		first, second := g.begin(), g.begin()
		over := make(chan string, 3)
		wait := func(name string) {
			go func() {
				_ = g.await(t.Context())
				over <- name
			}()
			synctest.Wait()
		}
		wait("a")
		later := g.begin()
		wait("b")
		wait("c")
		g.end(first)
		synctest.Wait()
		if len(over) > 0 {
			t.Fatalf("%s is over too early", <-over)
		}
		g.end(later) // what has begun before it isn't over
		synctest.Wait()
		if len(over) > 0 {
			t.Fatalf("%s is over too early", <-over)
		}
		g.end(second)
		synctest.Wait()
		if len(over) != 3 {
			t.Errorf("%d of 3 are over", len(over))
		}

		ctx, cancel := context.WithCancel(t.Context())
		left := g.begin()
		cancel()
		if err := g.await(ctx); err == nil {
			t.Error("it has waited for what isn't over")
		}
		g.end(left)
	})
}

// laneEngine records each room on its own, in the order that the test wants.
type laneEngine struct {
	history.Engine
	done []func([]history.Position, error)
}

func (e *laneEngine) Append(_ []history.Room, _ history.Entry, done func([]history.Position, error)) {
	e.done = append(e.done, done)
}

func TestOrderOfSettled(t *testing.T) {
	engine := &laneEngine{}
	r := New(engine, history.Rules{{Namespace: "/", Rooms: "**", Messages: 1}})
	var settled []string
	start := func(name string, rooms ...string) {
		r.Start(&Record{Rooms: r.Rooms("/", rooms)}, history.Entry{}, func() { settled = append(settled, name) })
	}
	start("1 to a", "a")
	start("2 to a and b", "a", "b")
	start("3 to b", "b")
	start("4 to c", "c")
	start("5 to b and c", "b", "c")
	start("6 to c", "c")
	for i, want := range []struct {
		done int
		then string
	}{
		{2, "[]"}, {3, "[4 to c]"}, {5, "[4 to c]"}, {0, "[4 to c 1 to a]"},
		{1, "[4 to c 1 to a 2 to a and b 3 to b]"}, {4, "[4 to c 1 to a 2 to a and b 3 to b 5 to b and c 6 to c]"},
	} {
		engine.done[want.done](nil, nil)
		if got := fmt.Sprint(settled); got != want.then {
			t.Errorf("step %d: %s, want %s", i, got, want.then)
		}
	}
	if len(r.wide) > 0 {
		t.Errorf("%d records are left", len(r.wide))
	}
}

func TestGateIsBounded(t *testing.T) {
	c := NewCatchUp[int](0, nil)
	a := history.Room{Name: "a"}
	take := func(i, size int) (Verdict, []int) {
		var sent []int
		v := c.Take(&Record{Rooms: []history.Room{a}}, size, func() int { return i }, func(i int) { sent = append(sent, i) })
		return v, sent
	}
	g, _ := c.Close("a", 10)
	if other, ok := c.Close("a", 10); other != nil || !ok {
		t.Error("two joins at once")
	}
	for i := range 2 {
		if v, _ := take(i, 5); v != Waits {
			t.Errorf("message %d: %d", i, v)
		}
	}
	if v, sent := take(2, 5); v != Pass || !slices.Equal(sent, []int{0, 1}) {
		t.Errorf("above the limit: %d, sent %v", v, sent)
	}
	if c.Open(g, Mark{}, nil, func() { t.Error("it is answered") }, nil, nil) {
		t.Error("the join hasn't failed")
	}
}

func TestWhatAJoinHasHad(t *testing.T) {
	member := false
	c := NewCatchUp[string](0, func(*room.Target, func(string) bool) bool { return member })
	at := func(id, offset uint64, epoch string) *Record {
		rec := &Record{Rooms: []history.Room{{Name: "a"}}, ID: history.Identity{Node: "n", Number: id}}
		if offset > 0 {
			rec.SetPlaces([]history.Position{{Epoch: epoch, Offset: offset}})
		}
		return rec
	}
	take := func(name string, rec *Record) Verdict { return c.Take(rec, 1, func() string { return name }, nil) }
	g, _ := c.Close("a", 1000)
	for name, rec := range map[string]*Record{
		"older": at(1, 4, "e"), "had": at(2, 5, "e"), "new": at(3, 6, "e"), "other epoch": at(4, 2, "f"), "unrecorded": at(5, 0, ""), "lost reply": at(2, 0, ""),
	} {
		if v := take(name, rec); v != Waits {
			t.Errorf("%s: %d", name, v)
		}
	}
	var sent, dropped []string
	had := history.Entry{ID: history.Identity{Node: "n", Number: 2}, Time: time.Now()}
	entry, err := history.Parse(5, had.Encode())
	if err != nil {
		t.Fatal(err)
	}
	entries := []history.Recorded{entry}
	answer := Answer{history.Page{Entries: entries, End: history.Position{Epoch: "e", Offset: 5}}}
	opened := c.Open(g, answer.Mark(), entries, func() { sent = append(sent, "answer") },
		func(s string) { sent = append(sent, s) }, func(s string) { dropped = append(dropped, s) })
	if !opened || sent[0] != "answer" {
		t.Fatalf("opened %v, sent %v", opened, sent)
	}
	slices.Sort(sent)
	slices.Sort(dropped)
	if fmt.Sprint(sent, dropped) != "[answer new other epoch unrecorded] [had lost reply older]" {
		t.Errorf("sent %v, dropped %v", sent, dropped)
	}
	if take("late", at(2, 5, "e")) != Had || take("late and older", at(1, 4, "e")) != Had || take("next", at(9, 7, "e")) != Pass {
		t.Error("what comes late isn't recognised")
	}
	lost, unrecorded := at(2, 0, ""), at(6, 0, "")
	for _, rec := range []*Record{lost, unrecorded} {
		rec.SetPlaces([]history.Position{{}})
	}
	if take("late, with a lost reply", lost) != Had || take("late and not recorded", unrecorded) != Pass {
		t.Error("a message that was recorded without its node's knowledge comes again, or one that wasn't doesn't come")
	}
	member = true // of another room that the message is for
	if take("for another room", at(1, 4, "e")) != Pass || take("had", at(2, 5, "e")) != Had {
		t.Error("a message for another room is dropped, or one that was had isn't")
	}
}
