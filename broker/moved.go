package broker

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// A socket keeps its id when its client returns at another node, although the id
// names the node where it began, its home. As long as that node lives, it knows
// where the socket is, and calls that name the socket ask there first. When it is
// gone, such calls go to all nodes.

// movedTime is how long a node that isn't a socket's home remembers to which node
// it has handed the socket. Calls that were on their way need it.
const movedTime = time.Minute

// lostTime is how long a socket's home remembers that the socket was lost with another
// node.
const lostTime = tombstoneTime

// movedSockets remembers the sockets that other nodes have.
type movedSockets struct {
	home cluster.NodeID // static: this node

	mu    sync.Mutex
	nodes map[string]movedSocket // by socket id
	swept time.Time
	moves uint64 // how often a socket has left this node
}

type movedSocket struct {
	node  cluster.NodeID // empty if it was lost
	until time.Time      // zero: until the socket has ended
	left  uint64         // movedSockets.moves when the socket left this node
}

func newMovedSockets(home cluster.NodeID) *movedSockets {
	return &movedSockets{home: home, nodes: make(map[string]movedSocket)}
}

// set notes that a node has a socket; empty if none has it any more.
func (m *movedSockets) set(socket string, node cluster.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if node == "" || node == m.home {
		delete(m.nodes, socket)
		return
	}
	to, now := movedSocket{node: node}, time.Now()
	if before, ok := m.nodes[socket]; ok {
		to.left = before.left
	} else {
		m.moves++
		to.left = m.moves
	}
	if cluster.OwnerOf(socket) != m.home {
		to.until = now.Add(movedTime)
	}
	m.nodes[socket] = to
	m.sweep(now)
}

// sweep forgets from time to time what is remembered no longer. m.mu is held.
func (m *movedSockets) sweep(now time.Time) {
	if now.Sub(m.swept) < movedTime {
		return
	}
	m.swept = now
	for id, other := range m.nodes {
		if !other.until.IsZero() && other.until.Before(now) {
			delete(m.nodes, id)
		}
	}
}

// get returns the node that has a socket; empty if it isn't known.
func (m *movedSockets) get(socket string) cluster.NodeID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[socket].node
}

// lose notes that a node is gone, and its sockets with it.
func (m *movedSockets) lose(node cluster.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for id, to := range m.nodes {
		if to.node == node {
			m.nodes[id] = movedSocket{until: now.Add(lostTime), left: to.left}
		}
	}
	m.sweep(now)
}

// lost reports whether a socket of this node was lost with another one that had it.
func (m *movedSockets) lost(socket string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	to, ok := m.nodes[socket]
	return ok && to.node == ""
}

// count returns how often sockets have left this node.
func (m *movedSockets) count() uint64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.moves
}

// among returns those of the sockets that another node has now and that have left this
// node after it had been left so often.
func (m *movedSockets) among(sockets []string, after uint64) (moved []*wire.SessionMoved) {
	if m == nil || len(sockets) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moves <= after {
		return nil
	}
	for _, id := range sockets {
		if to := m.nodes[id]; to.node != "" && to.left > after {
			moved = append(moved, &wire.SessionMoved{Socket: id, Node: string(to.node)})
		}
	}
	return moved
}

// applySessionMoved notes which node has a socket of this one, or what to tell its client.
func (b *Broker) applySessionMoved(m *wire.SessionMoved) {
	if !m.GetEnded() {
		b.movedSockets.set(m.GetSocket(), cluster.NodeID(m.GetNode()))
		return
	}
	b.movedSockets.set(m.GetSocket(), "")
	if b.recovery != nil {
		b.recovery.tombstones.add(m.GetSocket(), m.GetHolder(), tombstone{node: cluster.NodeID(m.GetNode())}, time.Now())
	}
}

// sessionAt returns the node that has a session of this one, or its tombstone; empty if
// it isn't known.
func (b *Broker) sessionAt(socket string) cluster.NodeID {
	return cmp.Or(b.movedSockets.get(socket), b.recovery.tombstones.at(socket))
}

// tellEnded tells the home of a socket that it has ended.
func (s *socket) tellEnded() {
	m := &wire.SessionMoved{Socket: s.id}
	if s.session != nil {
		if _, left := s.b.recovery.tombstones.get(s.id); left {
			m.Node, m.Ended, m.Holder = s.b.id, true, s.tombstoneHolder()
		}
	}
	s.b.tellMoved(m)
}

// tellMoved tells the home of a socket which node has it now.
func (b *Broker) tellMoved(m *wire.SessionMoved) {
	home := cluster.OwnerOf(m.GetSocket())
	if b.mesh == nil || !b.mesh.HasNode(home) {
		return
	}
	op := &wire.Op{Op: &wire.Op_SessionMoved{SessionMoved: m}}
	payload, _ := proto.Marshal(op) // it always has a wire form
	if err := b.mesh.Publish(cluster.Route{Nodes: []cluster.NodeID{home}}, payload); err != nil {
		b.log.Debug("a node doesn't learn where a socket is", "node", string(home), "error", err) // the mesh counts it
	}
}

// tellWhichMoved tells a home again which of its sockets this node has; all homes if home is
// empty.
func (b *Broker) tellWhichMoved(home cluster.NodeID) {
	if b.recovery == nil {
		return
	}
	for _, ns := range b.namespaces {
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			owner := cluster.OwnerOf(s.id)
			if s.session != nil && string(owner) != b.id && (home == "" || home == owner) {
				s.tellHere()
			}
		}
	}
}

// tellHere tells the home of a socket that this node has it, unless it doesn't. It holds the
// lock that the socket needs to leave, so that what comes after that is told later.
func (s *socket) tellHere() {
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	if !s.session.shadow && !s.session.over {
		s.b.tellMoved(&wire.SessionMoved{Socket: s.id, Node: s.b.id})
	}
}

// departedTime is how long a node remembers how a socket was when it left.
const departedTime = 10 * time.Second

// departures are the sockets that have left this node a moment ago. A join is a call to
// every node, in no order with anything else: the new node may have carried it out before
// it had the socket, and this one after that. So this node passes it on.
type departures struct {
	mu   sync.Mutex
	list []departure // by the time at which they are forgotten
}

type departure struct {
	namespace, socket, user string
	rooms                   []string
	node                    cluster.NodeID
	until                   time.Time
}

func (d *departures) add(left departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	old := 0
	for old < len(d.list) && d.list[old].until.Before(now) {
		old++
	}
	clear(d.list[:old])
	left.until = now.Add(departedTime)
	d.list = append(d.list[old:], left)
}

// selected returns those that a target would have selected.
func (d *departures) selected(t *wire.Target) (found []departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, left := range d.list {
		if now.Before(left.until) && left.isSelected(t) {
			found = append(found, left)
		}
	}
	return found
}

// isSelected reports whether a target would have selected the socket. Targets that name
// it by its id are left out: they are followed.
func (left *departure) isSelected(t *wire.Target) bool {
	inOne := func(rooms []string) bool {
		return slices.ContainsFunc(rooms, func(room string) bool { return slices.Contains(left.rooms, room) })
	}
	named := t.GetEveryone() || left.user != "" && slices.Contains(t.GetUsers(), left.user) || inOne(t.GetRooms())
	excepted := slices.Contains(t.GetExceptSockets(), left.socket) || inOne(t.GetExceptRooms()) ||
		left.user != "" && slices.Contains(t.GetExceptUsers(), left.user)
	return left.namespace == t.GetNamespace() && named && !excepted
}

// joinDeparted has the nodes that have departed sockets join them, too, and reports
// whether there are any.
func (b *Broker) joinDeparted(o *wire.JoinRooms) (found bool) {
	for _, left := range b.departures.selected(o.GetTarget()) {
		target := &wire.Target{Namespace: left.namespace, Sockets: []string{left.socket}}
		op := &wire.Op{Op: &wire.Op_Join{Join: &wire.JoinRooms{Target: target, Rooms: o.GetRooms()}}}
		payload, _ := proto.Marshal(op) // it always has a wire form
		if err := b.mesh.Publish(cluster.Route{Nodes: []cluster.NodeID{left.node}}, payload); err != nil {
			b.log.Debug("a join doesn't reach a socket that has moved", "error", err) // the mesh counts it
		}
		found = true
	}
	return found
}
