package cluster

import (
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Info is what a node says about itself.
type Info struct {
	// Version is the release that it runs.
	Version string
	// Address is where it can be reached, for people.
	Address string
	// Sockets and Rooms say how many it has.
	Sockets, Rooms uint32
	// Draining: it takes no new connections any more.
	Draining bool
	// Started is when it started, by its own clock.
	Started time.Time
}

// Node is a node of the cluster.
type Node struct {
	Info
	// ID names it.
	ID NodeID
	// Incarnation counts how often it has had to join again, from 1.
	Incarnation uint64
}

func (i Info) wire() *wire.Heartbeat {
	return &wire.Heartbeat{
		Version:       i.Version,
		Address:       i.Address,
		Sockets:       i.Sockets,
		Rooms:         i.Rooms,
		Draining:      i.Draining,
		StartedUnixMs: i.Started.UnixMilli(),
	}
}

func nodeFrom(e *wire.Envelope, h *wire.Heartbeat) Node {
	return Node{
		ID:          NodeID(e.GetSender()),
		Incarnation: e.GetIncarnation(),
		Info: Info{
			Version:  h.GetVersion(),
			Address:  h.GetAddress(),
			Sockets:  h.GetSockets(),
			Rooms:    h.GetRooms(),
			Draining: h.GetDraining(),
			Started:  time.UnixMilli(h.GetStartedUnixMs()),
		},
	}
}
