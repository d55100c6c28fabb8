package cluster

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxNodes is the most other nodes that a cluster may have.
	maxNodes = 1024
	// tombstoneKept is how long the tombstone of a node is kept, so that its earlier messages don't
	// bring it back.
	tombstoneKept = time.Hour
	// maxTombstones bounds how many tombstones are kept.
	maxTombstones = 4 * maxNodes
)

// members keeps the other nodes of the cluster. It has no clock of its own and makes no calls:
// methods take the time and return what has changed.
type members struct {
	deadAfter time.Duration
	channel   func(NodeID) string // that identifies a node

	mu         sync.Mutex
	peers      map[NodeID]*peer
	tombstones map[NodeID]tombstone
	known      []string // the channels of peers; nil if peers have changed
	lastSweep  time.Time
}

// peer is another node of the cluster.
type peer struct {
	node     Node
	lastSeen time.Time
	// heard is true if a message has come since this node's bus connected. Then the other node's
	// bus had connected, too.
	heard bool
	// silent is true if no message came for half the time after which the node is lost, until one
	// does. Unlike lastSeen, it outlasts a time in which nobody could be heard: a node that was killed
	// before it stays silent.
	silent bool
}

// tombstone is what is kept of a node that has gone. A node that left doesn't come back. A lost
// node may, with a higher incarnation.
type tombstone struct {
	incarnation uint64
	left        bool
	since       time.Time
}

func newMembers(deadAfter time.Duration, channel func(NodeID) string) *members {
	return &members{deadAfter: deadAfter, channel: channel, peers: make(map[NodeID]*peer), tombstones: make(map[NodeID]tombstone)}
}

// presence is what a heartbeat says about a node.
type presence uint8

const (
	presenceKnown   presence = iota // it is still there
	presenceJoined                  // it has joined, or is back
	presenceLost                    // it was taken for lost, and doesn't know
	presenceLeft                    // it has left; the heartbeat is late
	presenceTooMany                 // there are too many nodes
)

// heartbeat records a heartbeat of n.
func (m *members) heartbeat(n Node, now time.Time) presence {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.peers[n.ID]; ok {
		if n.Incarnation >= p.node.Incarnation {
			p.node, p.lastSeen = n, now
		}
		return presenceKnown
	}
	if g, ok := m.tombstones[n.ID]; ok {
		switch {
		case g.left:
			return presenceLeft
		case n.Incarnation <= g.incarnation:
			return presenceLost
		}
	}
	if len(m.peers) >= maxNodes {
		return presenceTooMany
	}
	delete(m.tombstones, n.ID)
	m.peers[n.ID], m.known = &peer{node: n, lastSeen: now}, nil
	return presenceJoined
}

// alive records that a message of a node has come, and reports whether it is a member.
func (m *members) alive(id NodeID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.peers[id]
	if ok {
		p.lastSeen, p.heard, p.silent = now, true, false
	}
	return ok
}

// markUnheard records that the bus connects or disconnects: until a message of a node comes, it may
// not receive anything.
func (m *members) markUnheard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.peers {
		p.heard = false
	}
}

// unheard returns the nodes that have sent no message since the bus connected.
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

// silent returns the nodes that have been silent for so long that they may be lost.
func (m *members) silent() (ids []NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.peers {
		if p.silent {
			ids = append(ids, id)
		}
	}
	return ids
}

// leave removes a node and reports whether it was a member. It gets a tombstone in any case: it may
// be about to be read from the table.
func (m *members) leave(id NodeID, now time.Time) (Node, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.markDeleted(Node{ID: id}, true, now)
	p, ok := m.peers[id]
	if !ok {
		return Node{}, false
	}
	m.remove(id)
	return p.node, true
}

// remove removes a node. The caller holds mu.
func (m *members) remove(id NodeID) {
	delete(m.peers, id)
	m.known = nil
}

// channels returns the channels that identify the nodes. The caller must not change them.
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

// sweep removes and returns the nodes that have been silent for too long.
//
// stalled is true if the sweep comes much later than it should, because this process was stopped.
// Then it can't tell who was silent, and no node is lost. Nor can it tell while hearing is false:
// this node doesn't receive even its own messages.
func (m *members) sweep(every time.Duration, now time.Time, hearing bool) (lost []Node, stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stalled = !m.lastSweep.IsZero() && now.Sub(m.lastSweep) > 2*every+m.deadAfter/4
	m.lastSweep = now
	if stalled {
		m.refresh(now)
		return nil, true
	}
	for id, p := range m.peers {
		p.silent = p.silent || hearing && now.Sub(p.lastSeen) > m.deadAfter/2
		if hearing && now.Sub(p.lastSeen) > m.deadAfter {
			m.remove(id)
			m.markDeleted(p.node, false, now)
			lost = append(lost, p.node)
		}
	}
	maps.DeleteFunc(m.tombstones, func(_ NodeID, g tombstone) bool { return now.Sub(g.since) > tombstoneKept })
	return lost, false
}

// markDeleted keeps a tombstone of a node, instead of the oldest if there are too many. The caller
// holds mu.
func (m *members) markDeleted(n Node, left bool, now time.Time) {
	if len(m.tombstones) >= maxTombstones {
		var oldest NodeID
		for id, g := range m.tombstones {
			if oldest == "" || g.since.Before(m.tombstones[oldest].since) {
				oldest = id
			}
		}
		delete(m.tombstones, oldest)
	}
	m.tombstones[n.ID] = tombstone{incarnation: n.Incarnation, left: left, since: now}
}

// reset forgets how long the nodes have been silent, after a time in which none could be heard.
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

// list returns the nodes, sorted by id.
func (m *members) list() []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes := make([]Node, 0, len(m.peers)+1)
	for _, p := range m.peers {
		nodes = append(nodes, p.node)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return nodes
}

// len returns the number of nodes.
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

// get returns a node, and whether it is a member.
func (m *members) get(id NodeID) (Node, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.peers[id]
	if !ok {
		return Node{}, false
	}
	return p.node, true
}

// has reports whether a node is a member.
func (m *members) has(id NodeID) bool {
	_, ok := m.get(id)
	return ok
}
