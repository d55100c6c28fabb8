package recording

import (
	"context"
	"slices"
	"sync"

	"github.com/salabroker/sala/broker/history"
)

// Recorder records what one node sends to rooms with history. Its methods may be called concurrently.
// A nil Recorder is that of a broker without rules: no room has history.
type Recorder struct {
	// Static.
	engine history.Engine
	rules  history.Rules

	grace grace

	mu   sync.Mutex
	wide []*Record // in several rooms, in order, until they are settled
}

// New returns a recorder. There must be rules.
func New(engine history.Engine, rules history.Rules) *Recorder {
	return &Recorder{engine: engine, rules: rules, grace: newGrace()}
}

// Engine returns what keeps the histories.
func (r *Recorder) Engine() history.Engine { return r.engine }

// Room returns a room with its rule; ok is false if it has no history.
func (r *Recorder) Room(namespace, name string) (room history.Room, ok bool) {
	if r == nil {
		return history.Room{}, false
	}
	return r.rules.Room(namespace, name)
}

// Rooms returns those of the rooms that have history, each once; nil for none. It allocates nothing
// then.
func (r *Recorder) Rooms(namespace string, names []string) (rooms []history.Room) {
	if r == nil {
		return nil
	}
	for _, name := range names {
		room, ok := r.rules.Room(namespace, name)
		if ok && !slices.ContainsFunc(rooms, func(other history.Room) bool { return other.Name == name }) {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// Start begins to record a message, which has two parts: the caller delivers it to the sockets of
// this node, and publishes it to other nodes once settled is called. The caller calls [Record.End]
// when each of the parts is over.
//
// settled is called once, when it is known where the message is recorded. It is called before Start
// returns or on another goroutine, and must not block. Of two messages that one goroutine sends to a
// room, the first one's settled is called first.
//
// The record's rooms, which are [Recorder.Rooms], must not be empty, and the caller must not change
// the entry's slices.
func (r *Recorder) Start(rec *Record, e history.Entry, settled func()) {
	rec.recorder, rec.ID = r, e.ID
	rec.phase = r.grace.begin()
	rec.parts.Store(2)
	done := func(places []history.Position, _ error) {
		rec.places.Store(&places)
		settled()
	}
	if r.hasToWait(rec, settled) {
		done = func(places []history.Position, _ error) {
			rec.places.Store(&places)
			r.settle(rec)
		}
	}
	r.engine.Append(rec.Rooms, e, done)
}

// Deliver begins the delivery of a message that another node has recorded. The caller calls
// [Record.End] when it is over.
func (r *Recorder) Deliver(rec *Record) {
	rec.recorder, rec.phase = r, r.grace.begin()
	rec.parts.Store(1)
}

// Await returns when all messages that this node had begun to deliver or to record are recorded,
// delivered and published, or with the error of ctx if that ends first. A nil Recorder has none.
func (r *Recorder) Await(ctx context.Context) error {
	if r == nil {
		return nil
	}
	return r.grace.await(ctx)
}

// hasToWait notes for which records a new one has to wait, besides the engine, and reports whether
// settle has to be called for it. The engine keeps the order of what has the same rooms. A message to
// one of these rooms could overtake a message to several, which takes longer if they are on several
// servers.
func (r *Recorder) hasToWait(rec *Record, settled func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.settled, rec.waits = settled, 1
	for _, before := range r.wide {
		if slices.ContainsFunc(rec.Rooms, func(room history.Room) bool { return before.in(room.Name) }) {
			before.followers = append(before.followers, rec)
			rec.waits++
		}
	}
	if len(rec.Rooms) > 1 {
		r.wide = append(r.wide, rec)
	}
	return rec.waits > 1 || len(rec.Rooms) > 1
}

// settle is called when the engine is done with a record. It calls settled for the record and those
// that waited for it. The lock is held meanwhile, or another goroutine could call one of them
// before those that come first.
func (r *Recorder) settle(rec *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ready := countDown(nil, rec); len(ready) > 0; ready = ready[1:] {
		next := ready[0]
		next.settled()
		for _, follower := range next.followers {
			ready = countDown(ready, follower)
		}
		next.followers = nil
		r.wide = slices.DeleteFunc(r.wide, func(other *Record) bool { return other == next })
	}
}

// countDown notes that a record has to wait for one less, and appends it to those that are ready if
// there is nothing left to wait for.
func countDown(ready []*Record, rec *Record) []*Record {
	rec.waits--
	if rec.waits > 0 {
		return ready
	}
	return append(ready, rec)
}
