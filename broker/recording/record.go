package recording

import (
	"sync/atomic"

	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
)

// Record is a message on its way into the histories of its rooms, or one that was sent to such rooms
// and isn't recorded. Its methods may be called concurrently.
type Record struct {
	// Rooms are those of the message's rooms that have history. Static.
	Rooms []history.Room
	// Target is whom the message is for. Static.
	Target *room.Target
	// MayDrop is true if the message is dropped for sockets that can't take it right now. Static.
	MayDrop bool
	// Repeated is true if the message may be sent again long after it was recorded. Static.
	Repeated bool
	// ID is the message's identity; zero if the message isn't recorded. Static.
	ID history.Identity

	places atomic.Pointer[[]history.Position] // nil until they are known

	// Static, of messages that this node delivers.
	recorder *Recorder // nil if nobody has to wait for it
	phase    *phase
	parts    atomic.Int32 // that aren't over

	// Guarded by recorder.mu, for messages whose order isn't that of the engine.
	settled   func()
	waits     int       // for the engine, and for records whose settled comes first
	followers []*Record // that wait for this one
}

// Places returns the message's positions in the order of Rooms: the zero Position where it isn't
// recorded. They are nil until they are known.
func (r *Record) Places() []history.Position {
	if places := r.places.Load(); places != nil {
		return *places
	}
	return nil
}

// SetPlaces sets what Places returns. It is for messages that another node has recorded.
func (r *Record) SetPlaces(places []history.Position) { r.places.Store(&places) }

// Place returns the message's position in a room; ok is false if the message isn't recorded there or
// nothing is known yet.
func (r *Record) Place(room string) (p history.Position, ok bool) {
	for i, p := range r.Places() {
		if r.Rooms[i].Name == room {
			return p, p != history.Position{}
		}
	}
	return history.Position{}, false
}

// in reports whether the message is for a room.
func (r *Record) in(room string) bool {
	for i := range r.Rooms {
		if r.Rooms[i].Name == room {
			return true
		}
	}
	return false
}

// End notes that one part of what has begun is over; see [Recorder.Start] and [Recorder.Deliver]. It
// does nothing for a record that nobody waits for, or for none.
func (r *Record) End() {
	if r == nil || r.recorder == nil || r.parts.Add(-1) > 0 {
		return
	}
	r.recorder.grace.end(r.phase)
}
