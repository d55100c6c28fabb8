package history

import (
	"time"

	"github.com/salabroker/sala/broker/room"
)

// Rule gives history to rooms.
type Rule struct {
	// Namespace is the namespace of the rooms.
	Namespace string
	// Rooms matches their names.
	Rooms room.Pattern
	// Messages is how many messages a room keeps at most.
	Messages int
	// TTL is how long a message is kept at most.
	TTL time.Duration
}

// Rules say which rooms have history. The first one that matches a room counts.
type Rules []Rule

// Room returns a room with what its rule says, and whether it has a rule.
func (rs Rules) Room(namespace, name string) (Room, bool) {
	for i := range rs {
		if r := &rs[i]; r.Namespace == namespace && r.Rooms.Matches(name) {
			return Room{Namespace: namespace, Name: name, Messages: r.Messages, TTL: r.TTL}, true
		}
	}
	return Room{}, false
}

// Room is a room with history.
type Room struct {
	// Namespace and Name identify the room.
	Namespace, Name string
	// Messages and TTL are what its rule says.
	Messages int
	TTL      time.Duration
}
