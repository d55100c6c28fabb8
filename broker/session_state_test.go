package broker

import (
	"strconv"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// A return counts by when its client has asked for it, in whatever order nodes are heard.
func TestReturnsAreNumberedByWhenTheyWereAskedFor(t *testing.T) {
	now := time.Now()
	x := &session{asked: now}
	for _, step := range []struct {
		after time.Duration
		want  uint64
	}{{time.Second, 1}, {3 * time.Second, 2}, {2 * time.Second, 0}, {3 * time.Second, 3}, {-time.Second, 0}} {
		if got := x.countReturn(now.Add(step.after)); got != step.want {
			t.Errorf("a return asked for after %v has the number %d, want %d", step.after, got, step.want)
		}
	}
}

// A shadow remembers no more events than it may lose.
func TestShadowRemembersABoundedNumberOfEvents(t *testing.T) {
	b := &Broker{recovery: newRecovery(&RecoveryOptions{MaxMessages: 10, MaxBytes: 1 << 20, MaxNodeBytes: 1 << 20}, nil)}
	x := &session{shadow: true, had: make(map[string]bool)}
	for n := range 1000 {
		e := b.recovery.budget.NewEvent(strconv.Itoa(n%500), nil)
		if had := x.hasHad(b, e); had != (n >= 500 && n < 520) {
			t.Errorf("event %d was known: %v", n, had)
		}
		e.Held(0)
	}
	if len(x.had) != 20 {
		t.Errorf("%d events are remembered", len(x.had))
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
