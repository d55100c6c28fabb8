package api

import (
	"github.com/salabroker/sala/broker"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// selection is a request, or a selector, that names sockets.
type selection interface {
	GetNamespace() string
	GetRooms() []string
	GetUsers() []string
	GetSockets() []string
	GetExceptRooms() []string
	GetExceptUsers() []string
	GetExceptSockets() []string
}

// selectedTarget maps a selection to a target. It never selects everyone: the broker
// refuses a target that names nobody.
func selectedTarget(s selection) broker.Target {
	return broker.Target{
		Namespace:     s.GetNamespace(),
		Rooms:         s.GetRooms(),
		Users:         s.GetUsers(),
		Sockets:       s.GetSockets(),
		ExceptRooms:   s.GetExceptRooms(),
		ExceptUsers:   s.GetExceptUsers(),
		ExceptSockets: s.GetExceptSockets(),
	}
}

// broadcastTarget maps a broadcast to a target: everyone in the namespace except those
// whom it excludes.
func broadcastTarget(req *salav1.BroadcastRequest) broker.Target {
	return broker.Target{
		Namespace:     req.GetNamespace(),
		Everyone:      true,
		ExceptRooms:   req.GetExceptRooms(),
		ExceptUsers:   req.GetExceptUsers(),
		ExceptSockets: req.GetExceptSockets(),
	}
}
