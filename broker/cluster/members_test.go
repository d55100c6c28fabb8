package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What a heartbeat means depends on what is known of the node.
func TestHeartbeats(t *testing.T) {
	start := time.Now()
	node := func(incarnation uint64) Node { return Node{ID: "A", Incarnation: incarnation} }
	for name, test := range map[string]struct {
		before func(m *members)
		beat   Node
		want   presence
	}{
		"unknown":         {func(*members) {}, node(1), presenceJoined},
		"known":           {func(m *members) { m.heartbeat(node(1), start) }, node(1), presenceKnown},
		"known, higher":   {func(m *members) { m.heartbeat(node(1), start) }, node(2), presenceKnown},
		"known, lower":    {func(m *members) { m.heartbeat(node(2), start) }, node(1), presenceKnown},
		"left":            {func(m *members) { m.heartbeat(node(1), start); m.leave("A", start) }, node(1), presenceLeft},
		"left unknown":    {func(m *members) { m.leave("A", start) }, node(1), presenceLeft},
		"lost":            {func(m *members) { m.heartbeat(node(1), start); lose(m, start) }, node(1), presenceLost},
		"lost, higher":    {func(m *members) { m.heartbeat(node(1), start); lose(m, start) }, node(2), presenceJoined},
		"lost, long ago":  {func(m *members) { m.heartbeat(node(1), start); lose(m, start.Add(-2*tombstoneKept)) }, node(1), presenceJoined},
		"too many others": {func(m *members) { fill(m, start) }, node(1), presenceTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(4*time.Second, func(id NodeID) string { return string(id) })
			test.before(m)
			m.sweep(time.Second, start, true)
			if got := m.heartbeat(test.beat, start); got != test.want {
				t.Errorf("the presence is %d, want %d", got, test.want)
			}
		})
	}
}

// lose takes node A for lost.
func lose(m *members, at time.Time) {
	n := m.peers["A"].node
	delete(m.peers, "A")
	m.markDeleted(n, false, at)
}

func fill(m *members, at time.Time) {
	for i := range maxNodes {
		m.heartbeat(Node{ID: NodeID(fmt.Sprint("node", i)), Incarnation: 1}, at)
	}
}

// A node that was silent for a while may be lost, also after a time in which nobody could be heard, until a
// message of it comes.
func TestSilentNodes(t *testing.T) {
	m := newMembers(4*time.Second, func(id NodeID) string { return string(id) })
	now := time.Now()
	pass := func(d time.Duration, hearing bool, heard ...NodeID) {
		for end := now.Add(d); now.Before(end); {
			now = now.Add(250 * time.Millisecond)
			for _, id := range heard {
				m.alive(id, now)
			}
			m.sweep(250*time.Millisecond, now, hearing)
		}
	}
	want := func(when string, want ...NodeID) {
		t.Helper()
		if got := m.silent(); !slices.Equal(got, want) {
			t.Errorf("%s: %q are silent, want %q", when, got, want)
		}
	}
	m.heartbeat(Node{ID: "A", Incarnation: 1}, now)
	m.heartbeat(Node{ID: "B", Incarnation: 1}, now)
	pass(10*time.Second, true, "A", "B")
	want("with heartbeats of both")
	pass(1500*time.Millisecond, true, "A")
	want("a moment after the last one of B")
	pass(time.Second, true, "A")
	want("a while after it", "B")
	m.markUnheard()
	m.reset(now)
	want("with a new connection", "B")
	pass(3*time.Second, false)
	want("while this node hears nothing", "B")
	m.reset(now)
	pass(250*time.Millisecond, true, "A", "B")
	want("once both are heard again")
}

// The oldest tombstone gives way.
func TestTombstonesAreBounded(t *testing.T) {
	m := newMembers(4*time.Second, func(id NodeID) string { return string(id) })
	start := time.Now()
	for i := range maxTombstones + 10 {
		m.leave(NodeID(fmt.Sprint("node", i)), start.Add(time.Duration(i)))
	}
	if len(m.tombstones) != maxTombstones {
		t.Errorf("%d tombstones, want %d", len(m.tombstones), maxTombstones)
	}
	if _, ok := m.tombstones["node0"]; ok {
		t.Error("the oldest tombstone is still there")
	}
}
