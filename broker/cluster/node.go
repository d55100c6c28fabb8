package cluster

import (
	"crypto/rand"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// NodeIDBytes is the length of a [NodeID].
const NodeIDBytes = 10

// NodeID identifies a node. A node gets a new id at each start, so after a restart it is another
// node.
type NodeID string

// NewNodeID returns a random id of [NodeIDBytes] letters and digits.
func NewNodeID() NodeID { return NodeID(rand.Text()[:NodeIDBytes]) }

// OwnerOf returns the node that has a socket. The id of a socket begins with its node's.
func OwnerOf(socket string) NodeID { return NodeID(socket[:min(len(socket), NodeIDBytes)]) }

// Info is what a node says about itself.
type Info struct {
	// Version is the release that it runs.
	Version string
	// Address is where people can reach it.
	Address string
	// URL is where other nodes reach its public listener, such as "http://10.0.0.5:3000"; empty if
	// they can't.
	URL string
	// Certificate is the SHA-256 of the certificate of that listener, 32 bytes; empty if it has
	// none of its own.
	Certificate string
	// Sockets and Rooms are how many it has.
	Sockets, Rooms uint32
	// Draining is true if it no longer takes new connections.
	Draining bool
	// Started is when it started, by its own clock.
	Started time.Time
}

// Node is a node of the cluster.
type Node struct {
	Info
	// ID identifies it.
	ID NodeID
	// Incarnation counts how often it has joined, from 1.
	Incarnation uint64

	requestKey string // of requests to it; empty in a cluster with keys
}

func (i Info) toWire() *wire.Heartbeat {
	return &wire.Heartbeat{
		Version:       i.Version,
		Address:       i.Address,
		Sockets:       i.Sockets,
		Rooms:         i.Rooms,
		Draining:      i.Draining,
		StartedUnixMs: i.Started.UnixMilli(),

		Url:               i.URL,
		CertificateSha256: []byte(i.Certificate),
	}
}

func nodeFromWire(e *wire.Envelope, h *wire.Heartbeat) Node {
	return Node{
		ID:          NodeID(e.GetSender()),
		Incarnation: e.GetIncarnation(),
		requestKey:  string(h.GetRequestKey()),
		Info: Info{
			Version:  h.GetVersion(),
			Address:  h.GetAddress(),
			Sockets:  h.GetSockets(),
			Rooms:    h.GetRooms(),
			Draining: h.GetDraining(),
			Started:  time.UnixMilli(h.GetStartedUnixMs()),

			URL:         h.GetUrl(),
			Certificate: string(h.GetCertificateSha256()),
		},
	}
}
