package broker

import (
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

// movedSockets remembers the sockets that other nodes have.
type movedSockets struct {
	home cluster.NodeID // static: this node

	mu    sync.Mutex
	nodes map[string]movedSocket // by socket id
	swept time.Time
}

type movedSocket struct {
	node  cluster.NodeID
	until time.Time // zero: until the socket has ended
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
	to := movedSocket{node: node}
	now := time.Now()
	if cluster.OwnerOf(socket) != m.home {
		to.until = now.Add(movedTime)
	}
	m.nodes[socket] = to
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

// lose forgets the sockets of a node that is gone.
func (m *movedSockets) lose(node cluster.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, to := range m.nodes {
		if to.node == node {
			delete(m.nodes, id)
		}
	}
}

// among returns those of the sockets that another node has now.
func (m *movedSockets) among(sockets []string) (moved []*wire.SessionMoved) {
	if m == nil || len(sockets) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range sockets {
		if to, ok := m.nodes[id]; ok {
			moved = append(moved, &wire.SessionMoved{Socket: id, Node: string(to.node)})
		}
	}
	return moved
}

// tellMoved tells the home of a socket which node has it now; empty for none.
func (b *Broker) tellMoved(home cluster.NodeID, socket string, node cluster.NodeID) {
	if b.mesh == nil || string(home) == b.id || !b.mesh.HasNode(home) {
		return
	}
	op := &wire.Op{Op: &wire.Op_SessionMoved{SessionMoved: &wire.SessionMoved{Socket: socket, Node: string(node)}}}
	payload, _ := proto.Marshal(op) // it always has a wire form
	if err := b.mesh.Publish(cluster.Route{Nodes: []cluster.NodeID{home}}, payload); err != nil {
		b.log.Debug("a node doesn't learn where a socket is", "node", string(home), "error", err) // the mesh counts it
	}
}
