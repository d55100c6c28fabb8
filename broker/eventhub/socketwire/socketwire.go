// Package socketwire maps the description of a socket to its wire form between
// nodes, and back. Lists and events use the same one.
package socketwire

import (
	"cmp"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// To returns the wire form of a socket.
func To(s *eventhub.Socket) *wire.Socket {
	w := &wire.Socket{
		Id:              s.ID,
		User:            s.User,
		Namespace:       s.Namespace,
		Rooms:           s.Rooms,
		Address:         s.Address,
		Transport:       s.Transport,
		ConnectedUnixNs: s.ConnectTime.UnixNano(),
		Data:            s.Data,
		Auth:            s.Auth,
		Away:            s.Away,
		Moves:           s.Moves,
	}
	if s.Node != string(cluster.OwnerOf(s.ID)) {
		w.Node = s.Node
	}
	return w
}

// From is the inverse of [To]. Unless the client has returned at another node, the
// node follows from the socket's id.
func From(w *wire.Socket) *eventhub.Socket {
	return &eventhub.Socket{
		ID:          w.GetId(),
		User:        w.GetUser(),
		Namespace:   w.GetNamespace(),
		Node:        cmp.Or(w.GetNode(), string(cluster.OwnerOf(w.GetId()))),
		Moves:       w.GetMoves(),
		Away:        w.GetAway(),
		Rooms:       w.GetRooms(),
		Address:     w.GetAddress(),
		Transport:   w.GetTransport(),
		ConnectTime: time.Unix(0, w.GetConnectedUnixNs()),
		Data:        w.GetData(),
		Auth:        w.GetAuth(),
	}
}
