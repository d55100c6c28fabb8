package backlog

import (
	"sync"
	"sync/atomic"

	"github.com/salabroker/sala/broker/engineio"
)

// eventOverhead is roughly what an event takes in memory besides its frame.
const eventOverhead = 96

// Event is a message in the form that recovering clients get. It never changes, and any number of
// backlogs may hold it.
type Event struct {
	offset string
	frame  *engineio.Frame // nil if it isn't sent again
	size   int

	budget  *Budget
	holders atomic.Int64 // backlogs that hold it; below zero while some have dropped it already and Held comes later
}

// Offset returns the identity of the message, by which a client says what it has received last.
func (e *Event) Offset() string { return e.offset }

// Frame returns the encoded message; nil if it isn't sent again.
func (e *Event) Frame() *engineio.Frame { return e.frame }

// key returns the conflation key of the message; zero if it has none, or isn't sent again.
func (e *Event) key() engineio.ConflationKey {
	if e.frame == nil {
		return engineio.ConflationKey{}
	}
	return e.frame.ConflationKey()
}

// Held says to how many more backlogs the event was pushed. It is called after the pushes: counting
// each of them would make goroutines fight for one counter.
func (e *Event) Held(backlogs int) { e.count(int64(backlogs)) }

// Release is for who isn't a backlog and counted as one in Held: it doesn't hold the event any more.
func (e *Event) Release() { e.count(-1) }

// count adds to the holders. Whoever brings them to zero frees the event.
func (e *Event) count(n int64) {
	if e.holders.Add(n) == 0 {
		e.budget.bytes.Add(-int64(e.size))
	}
}

// Budget bounds the memory of all backlogs of a node. Its methods may be called concurrently.
type Budget struct {
	limit  int64
	chunks sync.Pool // of *chunk

	bytes    atomic.Int64 // of events that a backlog holds, each counted once, and of the backlogs' chunks
	backlogs atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, chunks: sync.Pool{New: func() any { return new(chunk) }}}
}

// NewEvent returns an event. The caller must call [Event.Held] once it has pushed the event
// wherever it belongs. A nil frame makes an event that isn't sent again, and only keeps its place.
func (b *Budget) NewEvent(offset string, f *engineio.Frame) *Event {
	e := &Event{offset: offset, frame: f, size: eventOverhead, budget: b}
	if f != nil {
		e.size += f.Size()
	}
	b.bytes.Add(int64(e.size))
	return e
}

// Bytes returns how many bytes the events of all backlogs take, each counted once, and what the
// backlogs take themselves once they hold more than a few.
func (b *Budget) Bytes() int64 { return b.bytes.Load() }

// share returns how many bytes a backlog may always keep: its share of the limit. Events that
// several backlogs hold count in each, so that one that is above its share is there whenever the
// budget is exceeded.
func (b *Budget) share() int64 { return b.limit / max(b.backlogs.Load(), 1) }

// exceeded reports whether the backlogs keep more than the limit.
func (b *Budget) exceeded() bool { return b.bytes.Load() > b.limit }
