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
		Session:         sessionTo(s.Session),
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
		Session:     sessionFrom(w.GetSession()),
	}
}

func sessionTo(s *eventhub.Session) *wire.SocketSession {
	if s == nil {
		return nil
	}
	w := &wire.SocketSession{Events: uint32(s.Events), Bytes: uint64(s.Bytes), Complete: s.Complete, AwayReason: s.AwayReason} //nolint:gosec // they aren't negative, and bounded by the session
	if !s.AwaySince.IsZero() {
		w.AwayUnixNs, w.ExpireUnixNs = s.AwaySince.UnixNano(), s.Expires.UnixNano()
	}
	return w
}

func sessionFrom(w *wire.SocketSession) *eventhub.Session {
	if w == nil {
		return nil
	}
	s := &eventhub.Session{Events: int(w.GetEvents()), Bytes: int(w.GetBytes()), Complete: w.GetComplete(), AwayReason: w.GetAwayReason()} //nolint:gosec // the node has bounded it
	if w.GetAwayUnixNs() != 0 {
		s.AwaySince, s.Expires = time.Unix(0, w.GetAwayUnixNs()), time.Unix(0, w.GetExpireUnixNs())
	}
	return s
}
