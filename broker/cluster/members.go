package cluster

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// maxNodes bounds how many other nodes are kept track of.
	maxNodes = 1024
	// graveKept is how long a node that is gone is remembered, so that what it
	// sent before doesn't bring it back.
	graveKept = time.Hour
	// maxGraves bounds how many of them are remembered.
	maxGraves = 4 * maxNodes
)

// members knows which other nodes are there. It has no clock of its own, and
// what it finds out it returns rather than tells.
type members struct {
	deadAfter time.Duration
	channel   func(NodeID) string // that a node is known by

	mu        sync.Mutex
	peers     map[NodeID]*peer
	graves    map[NodeID]grave
	known     []string // the channels of peers; nil if that has changed
	lastSweep time.Time
}

type peer struct {
	node     Node
	lastSeen time.Time
	// heard: it has said something since this node's bus has connected, so its
	// own bus had connected too.
	heard bool
}

// grave is that of a node that is gone. One that left doesn't come back; one that was
// lost does, with a higher incarnation.
type grave struct {
	incarnation uint64
	left        bool
	since       time.Time
}

func newMembers(deadAfter time.Duration, channel func(NodeID) string) *members {
	return &members{deadAfter: deadAfter, channel: channel, peers: make(map[NodeID]*peer), graves: make(map[NodeID]grave)}
}

// heard is what a heartbeat has shown.
type heard uint8

const (
	heardKnown heard = iota // a node that is there is still there
	heardNew                // it has joined, or is back
	heardLost               // it was taken for lost and doesn't know
	heardGone               // it has left; this is an echo
	heardFull               // there are too many nodes
)

// heartbeat takes note of n.
func (m *members) heartbeat(n Node, now time.Time) heard {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.peers[n.ID]; ok {
		if n.Incarnation >= p.node.Incarnation {
			p.node, p.lastSeen = n, now
		}
		return heardKnown
	}
	if g, ok := m.graves[n.ID]; ok {
		switch {
		case g.left:
			return heardGone
		case n.Incarnation <= g.incarnation:
			return heardLost
		}
	}
	if len(m.peers) >= maxNodes {
		return heardFull
	}
	delete(m.graves, n.ID)
	m.peers[n.ID], m.known = &peer{node: n, lastSeen: now}, nil
	return heardNew
}

// alive takes note that id has just said something, and reports whether it is there.
func (m *members) alive(id NodeID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.peers[id]
	if ok {
		p.lastSeen, p.heard = now, true
	}
	return ok
}

// unsettle takes note that the bus connects or disconnects: who hears what from
// now on isn't known.
func (m *members) unsettle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.heard = false
	}
}

// unheard returns the nodes that may not hear anything yet.
func (m *members) unheard() (ids []NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.peers {
		if !p.heard {
			ids = append(ids, id)
		}
	}
	return ids
}

// leave takes id away and reports whether it was there. It is remembered even
// if it wasn't: it may be about to be read from the table.
func (m *members) leave(id NodeID, now time.Time) (Node, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bury(Node{ID: id}, true, now)
	p, ok := m.peers[id]
	if !ok {
		return Node{}, false
	}
	m.remove(id)
	return p.node, true
}

// remove takes a node out. The caller holds mu.
func (m *members) remove(id NodeID) {
	delete(m.peers, id)
	m.known = nil
}

// channels returns the channels that the nodes are known by, which the caller must
// not change.
func (m *members) channels() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = make([]string, 0, len(m.peers))
		for id := range m.peers {
			m.known = append(m.known, m.channel(id))
		}
	}
	return m.known
}

// sweep returns the nodes that have been silent for too long, and takes them
// away. A sweep that comes much later than it should says that this process
// itself stood still: then it can't know who was silent, and everybody gets a new start.
// Nor can it know while it doesn't hear even itself.
func (m *members) sweep(every time.Duration, now time.Time, hearing bool) (lost []Node, stood bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stood = !m.lastSweep.IsZero() && now.Sub(m.lastSweep) > 2*every+m.deadAfter/4
	m.lastSweep = now
	if stood {
		m.refresh(now)
		return nil, true
	}
	for id, p := range m.peers {
		if hearing && now.Sub(p.lastSeen) > m.deadAfter {
			m.remove(id)
			m.bury(p.node, false, now)
			lost = append(lost, p.node)
		}
	}
	maps.DeleteFunc(m.graves, func(_ NodeID, g grave) bool { return now.Sub(g.since) > graveKept })
	return lost, false
}

// bury remembers a node that is gone, in the place of the oldest if need be.
// The caller holds mu.
func (m *members) bury(n Node, left bool, now time.Time) {
	if len(m.graves) >= maxGraves {
		var oldest NodeID
		for id, g := range m.graves {
			if oldest == "" || g.since.Before(m.graves[oldest].since) {
				oldest = id
			}
		}
		delete(m.graves, oldest)
	}
	m.graves[n.ID] = grave{incarnation: n.Incarnation, left: left, since: now}
}

// reset gives every node a new start, after a time in which none could be heard.
func (m *members) reset(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastSweep = now
	m.refresh(now)
}

func (m *members) refresh(now time.Time) {
	for _, p := range m.peers {
		p.lastSeen = now
	}
}

// list returns the nodes, ordered by id.
func (m *members) list() []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes := make([]Node, 0, len(m.peers)+1)
	for _, p := range m.peers {
		nodes = append(nodes, p.node)
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return nodes
}

// len returns how many nodes there are.
func (m *members) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.peers)
}

// ids returns the ids of the nodes.
func (m *members) ids() map[NodeID]struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make(map[NodeID]struct{}, len(m.peers))
	for id := range m.peers {
		ids[id] = struct{}{}
	}
	return ids
}

// has reports whether id is there.
func (m *members) has(id NodeID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.peers[id]
	return ok
}
