package recording

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/room"
)

const (
	// lateTime is how long messages that others have recorded may be on their way to a node.
	lateTime = 10 * time.Second
	// maxWaiting bounds the messages that wait for a join, and maxMarks the rooms for which a socket
	// knows what it has had.
	maxWaiting = 1024
	maxMarks   = 1024
	// recentTime is how old an entry may be that is about to be published without a position: the
	// store has some seconds to answer, and the clocks of nodes differ. maxRecent bounds how many such
	// entries a mark has.
	recentTime = 15 * time.Second
	maxRecent  = 64
)

// CatchUp is what one socket needs whose client joins rooms with history. While a join reads the
// history of a room, live messages of the room wait at a gate. When it has read it, they follow
// what the client gets from the history, except for those that the client has then. So do messages
// that come late: another node records a message before it publishes it.
//
// M is a message as it waits. All methods may be called concurrently.
type CatchUp[M any] struct {
	// Static.
	repeatTime time.Duration // how long after a join messages may be repeated
	isFor      func(t *room.Target, except func(room string) bool) bool

	mu    sync.Mutex
	over  bool            // nothing is left to do, so the socket doesn't need it any more
	gate  *Gate[M]        // of the join that is under way; nil if there is none
	marks map[string]Mark // by room: what the client has of its history
	last  time.Time       // when a mark was set
}

// NewCatchUp returns a CatchUp. repeatTime is how long after it was recorded a message may be sent
// again. isFor reports whether a target selects the socket apart from some rooms; it is called with
// the CatchUp locked.
func NewCatchUp[M any](repeatTime time.Duration, isFor func(t *room.Target, except func(room string) bool) bool) *CatchUp[M] {
	return &CatchUp[M]{repeatTime: max(repeatTime, lateTime), isFor: isFor}
}

// Gate is a join that is under way. It belongs to its [CatchUp].
type Gate[M any] struct {
	room     string
	maxBytes int

	// Guarded by CatchUp.mu.
	waiting []waiting[M]
	bytes   int
}

type waiting[M any] struct {
	record  *Record
	message M
}

// Mark says what a client has got of a room's history: all entries of an epoch from First to Last.
// None are older than First. First is Last plus one if the client has got none.
type Mark struct {
	Epoch       string
	First, Last uint64
	// Recent has the hashes of the identities of those of them that others may still publish without a
	// position: a message is recorded, but the node that has sent it doesn't learn that.
	Recent []uint64
}

// Verdict says what to do with a message.
type Verdict uint8

// Verdicts.
const (
	// Pass means to send it now.
	Pass Verdict = iota
	// Waits means that it will be sent after what the client gets from the history.
	Waits
	// Had means that the client has it.
	Had
	// Refused means to drop it: it would have to wait, and may be dropped.
	Refused
	// Over means to send it now, and that the socket needs its CatchUp no longer.
	Over
)

// Close has messages of a room wait from now on. They have at most maxBytes. It returns nil if a join
// is under way already. ok is false if the CatchUp is over and the socket needs a new one.
func (c *CatchUp[M]) Close(room string, maxBytes int) (g *Gate[M], ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.gate != nil {
		return nil, !c.over
	}
	c.gate = &Gate[M]{room: room, maxBytes: maxBytes}
	return c.gate, true
}

// Take decides about a message of so many bytes before it is sent. message returns it as it waits. If
// more waits than may, the join fails, and Take calls send for what waits.
func (c *CatchUp[M]) Take(rec *Record, size int, message func() M, send func(M)) Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := time.Duration(0)
	if len(c.marks) > 0 {
		age = time.Since(c.last)
	}
	if age > c.repeatTime {
		c.marks = nil
	}
	switch {
	case (age <= lateTime || rec.Repeated) && c.had(rec):
		return Had
	case c.gate == nil && len(c.marks) == 0:
		c.over = true
		return Over
	case c.gate == nil || !rec.in(c.gate.room):
		return Pass
	case rec.MayDrop:
		return Refused
	case len(c.gate.waiting) >= maxWaiting || c.gate.bytes+size > c.gate.maxBytes:
		c.abort(send)
		return Pass
	}
	c.gate.bytes += size
	c.gate.waiting = append(c.gate.waiting, waiting[M]{rec, message()})
	return Waits
}

// Open ends a join. It calls first, and then send for what waits, except for what the client has: for
// that it calls drop. mark and entries are what the client gets from the history. It returns false,
// and calls nothing, if the join has failed.
//
// Before, the caller waits until everything is over that this node had begun to record or to deliver
// before the history was read: see [Recorder.Await]. So a message that waits and whose place isn't
// known comes after the entries, or isn't recorded as far as its node knows.
func (c *CatchUp[M]) Open(g *Gate[M], mark Mark, entries []history.Recorded, first func(), send, drop func(M)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate != g {
		return false
	}
	first()
	c.gate = nil
	if c.marks == nil || len(c.marks) >= maxMarks {
		c.marks = make(map[string]Mark)
	}
	c.marks[g.room], c.last = mark, time.Now()
	for _, w := range g.waiting {
		_, placed := w.record.Place(g.room)
		if c.had(w.record) || !placed && among(entries, w.record.ID) {
			drop(w.message)
		} else {
			send(w.message)
		}
	}
	return true
}

// Marks returns what the client has of the history of rooms, by room.
func (c *CatchUp[M]) Marks() map[string]Mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.marks)
}

// SetMarks sets what the client has of the history of rooms, and keeps the map.
func (c *CatchUp[M]) SetMarks(marks map[string]Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks, c.last = marks, time.Now()
}

// Abort has the join under way fail, if there is one, and calls send for what waits.
func (c *CatchUp[M]) Abort(send func(M)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abort(send)
}

// Cancel is Abort if the join is still under way.
func (c *CatchUp[M]) Cancel(g *Gate[M], send func(M)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate == g {
		c.abort(send)
	}
}

// abort is Abort with mu held.
func (c *CatchUp[M]) abort(send func(M)) {
	if c.gate == nil {
		return
	}
	for _, w := range c.gate.waiting {
		send(w.message)
	}
	c.gate = nil
}

// had reports whether the client has got a message from the history of a room. It counts as had if the
// client has asked for the newest messages of a room, got newer ones, and is only for it in such
// rooms. c.mu is held.
func (c *CatchUp[M]) had(rec *Record) bool {
	if len(c.marks) == 0 {
		return false
	}
	older := false
	for i, p := range rec.Places() {
		mark := c.marks[rec.Rooms[i].Name]
		if mark.covers(p) && p.Offset >= mark.First {
			return true
		}
		if p == (history.Position{}) && len(mark.Recent) > 0 && slices.Contains(mark.Recent, rec.ID.Hash()) {
			return true
		}
		older = older || mark.covers(p)
	}
	return older && !c.isFor(rec.Target, func(name string) bool {
		p, _ := rec.Place(name)
		return c.marks[name].covers(p)
	})
}

// covers reports whether a message at a position came before the client read the history.
func (m Mark) covers(p history.Position) bool {
	return p.Offset > 0 && p.Epoch == m.Epoch && p.Offset <= m.Last
}

// among reports whether a message is among entries.
func among(entries []history.Recorded, id history.Identity) bool {
	for i := range entries {
		if entries[i].Is(id) {
			return true
		}
	}
	return false
}
