package cluster

import (
	"fmt"
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
