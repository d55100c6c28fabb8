package api

import "github.com/salabroker/sala/broker"

// selection is what a request has that names sockets.
type selection interface {
	GetNamespace() string
	GetRooms() []string
	GetUsers() []string
	GetSockets() []string
	GetExceptRooms() []string
	GetExceptUsers() []string
	GetExceptSockets() []string
}

// selectedTarget never selects everyone: if nobody is named, the broker says
// that somebody has to be.
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
