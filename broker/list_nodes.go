package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// NodeState says whether a node takes connections.
type NodeState uint8

// The states of a node.
const (
	// NodeActive is a node that takes connections.
	NodeActive NodeState = iota
	// NodeDraining is a node that sends its clients away.
	NodeDraining
)

// NodeInfo describes a node.
type NodeInfo struct {
	ID, Version    string
	Sockets, Rooms int
	State          NodeState
	Uptime         time.Duration
}

// NodeList is the list of nodes, ordered by id.
type NodeList struct {
	Nodes []NodeInfo
	PartialResult
}

// ListNodes lists the nodes. It describes the others as they last announced
// themselves. It may be called concurrently.
func (b *Broker) ListNodes(ctx context.Context) (NodeList, error) {
	list := NodeList{Nodes: []NodeInfo{b.info()}}
	if b.mesh != nil {
		ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, callTimeout))
		defer cancel()
		list.Partial = !b.knowsNodes(ctx)
		for _, other := range b.mesh.Nodes()[1:] {
			list.Nodes = append(list.Nodes, infoOf(other))
			if list.Partial { // its description is old
				list.Missing = append(list.Missing, string(other.ID))
			}
		}
		for _, id := range b.mesh.ClockSkewed() {
			if !slices.Contains(list.Missing, string(id)) {
				list.miss(string(id))
			}
		}
		slices.SortFunc(list.Nodes, func(a, b NodeInfo) int { return strings.Compare(a.ID, b.ID) })
	}
	return list, nil
}

// infoOf describes another node.
func infoOf(n cluster.Node) NodeInfo {
	info := NodeInfo{
		ID: string(n.ID), Version: n.Version, Sockets: int(n.Sockets), Rooms: int(n.Rooms), Uptime: time.Since(n.Started),
	}
	if n.Draining {
		info.State = NodeDraining
	}
	return info
}

// info describes this node.
func (b *Broker) info() NodeInfo {
	node := NodeInfo{ID: b.id, Version: b.opts.Version, Uptime: time.Since(b.started)}
	if b.draining.Load() {
		node.State = NodeDraining
	}
	for _, ns := range b.namespaces {
		sockets, rooms := ns.index.Len()
		node.Sockets += sockets
		node.Rooms += rooms
	}
	return node
}

func (b *Broker) countSockets() (n int) {
	for _, ns := range b.namespaces {
		sockets, _ := ns.index.Len()
		n += sockets
	}
	return n
}
