package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestHeartbeats: what a heartbeat shows depends on what was known of the node.
func TestHeartbeats(t *testing.T) {
	start := time.Now()
	node := func(incarnation uint64) Node { return Node{ID: "A", Incarnation: incarnation} }
	for name, test := range map[string]struct {
		before func(m *members)
		beat   Node
		want   heard
	}{
		"unknown":         {func(*members) {}, node(1), heardNew},
		"known":           {func(m *members) { m.heartbeat(node(1), start) }, node(1), heardKnown},
		"known, higher":   {func(m *members) { m.heartbeat(node(1), start) }, node(2), heardKnown},
		"known, lower":    {func(m *members) { m.heartbeat(node(2), start) }, node(1), heardKnown},
		"left":            {func(m *members) { m.heartbeat(node(1), start); m.leave("A", start) }, node(1), heardGone},
		"left unknown":    {func(m *members) { m.leave("A", start) }, node(1), heardGone},
		"lost":            {func(m *members) { m.heartbeat(node(1), start); bury(m, start) }, node(1), heardLost},
		"lost, higher":    {func(m *members) { m.heartbeat(node(1), start); bury(m, start) }, node(2), heardNew},
		"lost, long ago":  {func(m *members) { m.heartbeat(node(1), start); bury(m, start.Add(-2*graveKept)) }, node(1), heardNew},
		"too many others": {func(m *members) { fill(m, start) }, node(1), heardFull},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(4*time.Second, func(id NodeID) string { return string(id) })
			test.before(m)
			m.sweep(time.Second, start, true)
			if got := m.heartbeat(test.beat, start); got != test.want {
				t.Errorf("it shows %d, want %d", got, test.want)
			}
		})
	}
}

// bury loses node A at a time.
func bury(m *members, at time.Time) {
	n := m.peers["A"].node
	delete(m.peers, "A")
	m.bury(n, false, at)
}

func fill(m *members, at time.Time) {
	for i := range maxNodes {
		m.heartbeat(Node{ID: NodeID(fmt.Sprint("node", i)), Incarnation: 1}, at)
	}
}

// TestGravesAreBounded: the oldest gives way.
func TestGravesAreBounded(t *testing.T) {
	m := newMembers(4*time.Second, func(id NodeID) string { return string(id) })
	start := time.Now()
	for i := range maxGraves + 10 {
		m.leave(NodeID(fmt.Sprint("node", i)), start.Add(time.Duration(i)))
	}
	if len(m.graves) != maxGraves {
		t.Errorf("%d graves, want %d", len(m.graves), maxGraves)
	}
	if _, ok := m.graves["node0"]; ok {
		t.Error("the oldest grave is still there")
	}
}

// TestReplaysAgainstModel compares the window with a set of all numbers.
func TestReplaysAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	r := newReplays(time.Minute)
	seen := make(map[uint64]bool)
	var latest, base uint64
	for range 300_000 {
		switch random.IntN(1000) {
		case 0:
			base += uint64(random.IntN(3 * windowBits)) // a gap
		default:
			base += uint64(random.IntN(3))
		}
		sequence := base - min(base, uint64(random.ExpFloat64()*windowBits/4))
		want := sequence > 0 && !seen[sequence] && sequence+windowBits > latest
		if got := r.accept("A", sequence, now); got != want {
			t.Fatalf("accept(%d) with the latest %d is %t, want %t", sequence, latest, got, want)
		}
		seen[sequence] = true
		latest = max(latest, sequence)
	}
}

// TestReplaysAreBounded: senders that have been silent give way to new ones, others don't.
func TestReplaysAreBounded(t *testing.T) {
	r := newReplays(time.Minute)
	now := time.Now()
	for i := range maxSenders {
		if !r.accept(NodeID(fmt.Sprint(i)), 1, now) {
			t.Fatal("a first message isn't accepted")
		}
	}
	if r.accept("one more", 1, now) {
		t.Error("one sender too many is accepted")
	}
	if !r.accept("one more", 1, now.Add(2*time.Minute)) || len(r.senders) != 1 {
		t.Errorf("silent senders don't give way: there are %d", len(r.senders))
	}
}
