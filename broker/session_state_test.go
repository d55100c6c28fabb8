package broker

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
)

// A return counts by when its client has asked for it, in whatever order nodes are heard.
func TestReturnsAreNumberedByWhenTheyWereAskedFor(t *testing.T) {
	now := time.Now()
	x := &session{asked: now}
	for _, step := range []struct {
		after time.Duration
		want  uint64
	}{{time.Second, 1}, {3 * time.Second, 2}, {2 * time.Second, 0}, {3 * time.Second, 3}, {-time.Second, 0}} {
		if got := x.countReturn(now.Add(step.after), false); got != step.want {
			t.Errorf("a return asked for after %v has the number %d, want %d", step.after, got, step.want)
		}
	}
}

// A shadow remembers a bounded number of events.
func TestShadowRemembersABoundedNumberOfEvents(t *testing.T) {
	b := &Broker{recovery: newRecovery(&RecoveryOptions{MaxMessages: 10, MaxBytes: 1 << 20, MaxNodeBytes: 1 << 20}, nil)}
	x := &session{shadow: true, arrival: &arrival{had: make(map[string]bool)}}
	for n := range 1000 {
		e := b.recovery.budget.NewEvent(strconv.Itoa(n%500), nil)
		if had := x.hasHad(b, e); had != (n >= 500 && n < 520) {
			t.Errorf("event %d was known: %v", n, had)
		}
		e.Held(0)
	}
	if had := x.arrival.had; len(had) != 20 {
		t.Errorf("%d events are remembered", len(had))
	}
	if bytes := b.recovery.budget.Bytes(); bytes != 0 {
		t.Errorf("%d bytes are kept", bytes)
	}
}

// A departed socket is selected as it would have been, until it is forgotten.
func TestDeparturesAreSelected(t *testing.T) {
	var d departures
	d.add(departure{namespace: "/", socket: "s", user: "ana", rooms: []string{"a", "b"}, node: "there"})
	for name, test := range map[string]struct {
		target *wire.Target
		want   int
	}{
		"everyone":          {&wire.Target{Namespace: "/", Everyone: true}, 1},
		"another namespace": {&wire.Target{Namespace: "/chat", Everyone: true}, 0},
		"its user":          {&wire.Target{Namespace: "/", Users: []string{"ben", "ana"}}, 1},
		"another user":      {&wire.Target{Namespace: "/", Users: []string{"ben"}}, 0},
		"its room":          {&wire.Target{Namespace: "/", Rooms: []string{"b"}}, 1},
		"another room":      {&wire.Target{Namespace: "/", Rooms: []string{"c"}}, 0},
		"but not its room":  {&wire.Target{Namespace: "/", Everyone: true, ExceptRooms: []string{"a"}}, 0},
		"but not its user":  {&wire.Target{Namespace: "/", Rooms: []string{"a"}, ExceptUsers: []string{"ana"}}, 0},
		"but not itself":    {&wire.Target{Namespace: "/", Rooms: []string{"a"}, ExceptSockets: []string{"s"}}, 0},
		"its id":            {&wire.Target{Namespace: "/", Sockets: []string{"s"}}, 0},
	} {
		if got := d.selected(test.target); len(got) != test.want {
			t.Errorf("%s: %d are selected, want %d", name, len(got), test.want)
		}
	}
	d.list[0].until = time.Now().Add(-time.Second)
	d.add(departure{namespace: "/", socket: "other"})
	if len(d.list) != 1 || d.list[0].socket != "other" {
		t.Errorf("%v are remembered, want the other one alone", d.list)
	}
}

// A message that is still on its way to a session's new node doesn't come after the one
// that has replaced it, which came with the session.
func TestHandedOverEventsReplaceEarlierOnes(t *testing.T) {
	b := &Broker{id: "0123456789abcdef"}
	b.recovery = newRecovery(&RecoveryOptions{MaxMessages: 10, MaxBytes: 1 << 20, MaxNodeBytes: 1 << 20}, nil)
	event := func(node string, number uint64, key byte) *backlog.Event {
		f := engineio.NewKeptFrame([]byte("2[]")).Conflate(engineio.ConflationKey{key})
		return b.recovery.budget.NewEvent(identity{node, number}.offset(), f)
	}
	late := &arrival{had: make(map[string]bool), hadUntil: time.Now().Add(time.Hour)}
	x := &session{arrival: late, backlog: backlog.New(b.recovery.budget)}
	x.backlog.Push(event(b.id, 36, 1), 0, b.recovery.limits)
	for name, test := range map[string]struct {
		late *backlog.Event
		want bool
	}{
		"earlier":               {event(b.id, 35, 1), true},
		"later":                 {event(b.id, 37, 1), false},
		"with another key":      {event(b.id, 35, 2), false},
		"without a key":         {event(b.id, 35, 0), false},
		"of another node":       {event("fedcba9876543210", 35, 1), false},
		"that isn't sent again": {b.recovery.budget.NewEvent(identity{b.id, 35}.offset(), nil), false},
	} {
		if got := x.hasHad(b, test.late); got != test.want {
			t.Errorf("an event %s counts as had: %v, want %v", name, got, test.want)
		}
	}
}

// What a session's owner must have received before it handed over can't come after what was sent
// later. The client learns that it isn't recovered.
func TestWhatTheOwnerHasMissed(t *testing.T) {
	const sender, other = "0123456789abcdef", "fedcba9876543210"
	for name, test := range map[string]struct {
		early, late []uint64 // what the shadow has gathered before and after it asked for the session
		node        string   // that has sent it
		history     bool     // the client has joined a room with history
		want        []uint64 // what the session has besides message 7
		gap         bool
	}{
		"the owner has all of it":        {[]uint64{7}, nil, sender, false, nil, false},
		"the owner lacks an earlier one": {[]uint64{6, 7}, nil, sender, false, nil, true},
		"one was overtaken on its way":   {[]uint64{7}, []uint64{6}, sender, false, []uint64{6}, false},
		"the shadow has later ones":      {[]uint64{7, 8}, []uint64{9}, sender, false, []uint64{8, 9}, false},
		"or the client has got it":       {[]uint64{6, 7}, nil, sender, true, []uint64{6}, false},
		"another node has sent it":       {[]uint64{6}, nil, other, false, []uint64{6}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecovery(&RecoveryOptions{MaxMessages: 10, MaxBytes: 1 << 20, MaxNodeBytes: 1 << 20}, nil)
			x := &session{shadow: true, arrival: &arrival{had: make(map[string]bool)}, backlog: backlog.New(r.budget)}
			gather := func(numbers []uint64) {
				for _, number := range numbers {
					e := r.budget.NewEvent(identity{test.node, number}.offset(), engineio.NewKeptFrame([]byte("2[]")))
					x.backlog.Keep(e, r.limits)
					e.Held(1)
				}
			}
			gather(test.early)
			x.settle(x.gathered())
			gather(test.late)
			w := &wire.Session{Events: []*wire.SessionEvent{{Offset: identity{sender, 7}.offset(), Text: []byte("2[]")}}}
			if test.history {
				w.HistoryMarks = []*wire.HistoryMark{{Room: "room"}}
			}
			x.takeEvents(r, w)
			want := []string{identity{sender, 7}.offset()}
			for _, number := range test.want {
				want = append(want, identity{test.node, number}.offset())
			}
			var got []string
			x.backlog.All(func(e *backlog.Event) { got = append(got, e.Offset()) })
			if !slices.Equal(got, want) || x.gap != test.gap {
				t.Errorf("the session has %v, misses some: %v; want %v, %v", got, x.gap, want, test.gap)
			}
			x.backlog.Close()
			if bytes := r.budget.Bytes(); bytes != 0 {
				t.Errorf("%d bytes are kept", bytes)
			}
		})
	}
}
