package presence

import (
	"cmp"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Place is a user in a namespace or in a room of it.
type Place struct {
	// Namespace is the namespace, Room the room, or empty for the namespace.
	Namespace, Room string
	// User is the user.
	User string
}

// Compare orders places by namespace, room and user. It returns less than 0 if p comes first, and 0 if
// the places are the same.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Namespace, other.Namespace), cmp.Compare(p.Room, other.Room), cmp.Compare(p.User, other.User))
}

// PlaceFrom returns a place that another node has sent.
func PlaceFrom(w *wire.UserPlace) Place {
	return Place{Namespace: w.GetNamespace(), Room: w.GetRoom(), User: w.GetUser()}
}

// Wire returns the place as other nodes get it.
func (p Place) Wire() *wire.UserPlace {
	return &wire.UserPlace{Namespace: p.Namespace, Room: p.Room, User: p.User}
}

// Local says whether a node has sockets of a user in a place.
type Local uint8

// What a node may have.
const (
	// Absent means that it has none.
	Absent Local = iota
	// Moving means that it only takes over sessions, which other nodes still have.
	Moving
	// Present means that it has one.
	Present
)

// Change is that a user has come to a place or left it, on all nodes together.
type Change struct {
	Place
	// Left says that the user has left. Otherwise it has come.
	Left bool
	// Time is when that was. It orders the changes of a user in a place, whichever node announces
	// them.
	Time time.Time
}
