package outcome

import (
	"sync"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

const (
	// gatherTime is how long the drops of a socket are gathered, so that a client that misses many
	// messages causes few events.
	gatherTime = 200 * time.Millisecond
	// maxGathered is for how many sockets at the same time.
	maxGathered = 1024
)

// gathering holds drops until they are recorded. A timer runs while there are any, until the end.
//
// All drops take one lock. It costs 50 to 200 ns, and on two processors 16 locks by socket cost no
// less.
type gathering struct {
	mu     sync.Mutex // held with no other lock
	drops  map[dropKey]*Event
	left   uint64 // drops beyond maxGathered
	timer  *time.Timer
	closed bool
}

type dropKey struct{ socket, reason string }

// RecordDrop records that a socket doesn't get messages. Reason is a word for programs, and message
// says the same to people. The watchers and [Recorder.DropsOf] learn of it a moment later, together
// with what else is dropped for the socket meanwhile.
func (r *Recorder) RecordDrop(s *eventhub.Socket, reason, message string, messages int) {
	g := &r.drops
	g.mu.Lock()
	defer g.mu.Unlock()
	key := dropKey{s.ID, reason}
	if known, ok := g.drops[key]; ok {
		known.Report.Dropped += messages
		return
	}
	if len(g.drops) == maxGathered {
		g.left++
		return
	}
	if g.drops == nil {
		g.drops = make(map[dropKey]*Event)
		if !g.closed {
			g.timer = time.AfterFunc(gatherTime, r.recordDrops)
		}
	}
	g.drops[key] = &Event{
		Kind: Drop, Time: time.Now(), Node: r.node, Namespace: s.Namespace, Socket: s,
		Reason: reason, Result: Dropped, Message: message, Report: Report{Dropped: messages},
	}
}

// recordDrops records what was gathered.
func (r *Recorder) recordDrops() {
	g := &r.drops
	g.mu.Lock()
	drops, left := g.drops, g.left
	g.drops, g.left = nil, 0
	g.mu.Unlock()
	for _, e := range drops {
		r.rememberDrop(e)
		if r.Active() {
			r.show(e)
		}
	}
	for _, w := range *r.watchers.Load() {
		if w.filter.wants(Drop) {
			w.miss(left)
		}
	}
}

// Close records the drops that are still gathered, and has no timer run from then on. It may be
// called again.
func (r *Recorder) Close() {
	g := &r.drops
	g.mu.Lock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	r.recordDrops()
}

// rememberDrop keeps a drop, unless the socket has no user. One that is like the one before it is
// added to it.
func (r *Recorder) rememberDrop(e *Event) {
	if e.UserName() == "" {
		return
	}
	key, kept := whoOf(e), small(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.dropped.last(key)
	if last == nil || last.Reason != kept.Reason || last.Socket.ID != kept.Socket.ID {
		r.dropped.add(key, kept)
		return
	}
	kept.Count, kept.Report.Dropped = last.Count+1, last.Report.Dropped+kept.Report.Dropped
	*last = kept
}

// DropsOf returns what was dropped last of what was sent to a user in a namespace, newest first. The
// slice is the caller's.
func (r *Recorder) DropsOf(namespace, user string) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped.of(who{namespace: namespace, user: user})
}
