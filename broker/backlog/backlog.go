package backlog

import "github.com/salabroker/sala/broker/engineio"

// Limits bounds one backlog.
type Limits struct {
	// Events and Bytes are how much a backlog may keep. An event counts in each backlog that holds it.
	Events, Bytes int
}

// Backlog holds what one client has not confirmed, in the order in which the client gets it. The
// caller does the locking.
//
// An event's position is its number on the connection over which it was last sent. Only the lower
// half of that number is kept. Two of them are compared by their difference, which is small.
type Backlog struct {
	budget *Budget

	first, last *chunk
	start       int32 // of the first entry in first
	end         int32 // of the last entry in last, plus one
	len         int32
	unsent      int32 // how many of the last events no connection has had
	bytes       int

	// The last event that was evicted before the client confirmed it, apart from those that aren't
	// sent again. Until the client does, what is kept isn't everything that it may lack.
	evicted         bool
	evictedPosition uint32
	evictedOffset   string
}

// entry is an event in a backlog.
type entry struct {
	event    *Event
	position uint32
}

const (
	// chunkLen makes a chunk fit a size class of the allocator, which has chunkBytes.
	chunkLen   = 31
	chunkBytes = 512
)

// chunk is a piece of a backlog. Backlogs grow and shrink all the time, so they share chunks. The
// budget counts all but the first of each backlog: counting those as well would make goroutines
// fight for the counter with each event.
type chunk struct {
	entries [chunkLen]entry
	next    *chunk
}

// New returns an empty backlog. The caller must call Close when it doesn't need it any more.
func New(b *Budget) Backlog {
	b.backlogs.Add(1)
	return Backlog{budget: b}
}

// Close empties the backlog for good.
func (l *Backlog) Close() {
	l.drop(l.len)
	l.budget.backlogs.Add(-1)
}

// Len returns the number of events.
func (l *Backlog) Len() int { return int(l.len) }

// Bytes returns how many bytes the events take.
func (l *Backlog) Bytes() int { return l.bytes }

// Complete reports whether the backlog still has everything that the client may lack.
func (l *Backlog) Complete() bool { return !l.evicted }

// Evicted returns the offset of the last event that was evicted before the client confirmed it;
// empty if the backlog is complete.
func (l *Backlog) Evicted() string { return l.evictedOffset }

// Evict notes that events have been evicted elsewhere, the last one with this offset.
func (l *Backlog) Evict(offset string) { l.evicted, l.evictedOffset = true, offset }

// All calls each for all events, in order.
func (l *Backlog) All(each func(*Event)) {
	for _, at := range l.entries {
		each(at.event)
	}
}

// entries yields the places of all events, in order.
func (l *Backlog) entries(yield func(int32, *entry) bool) {
	for c, i, n := l.first, l.start, int32(0); n < l.len; n++ {
		if i == chunkLen {
			c, i = c.next, 0
		}
		if !yield(n, &c.entries[i]) {
			return
		}
		i++
	}
}

// Push appends an event that was sent at a position. To stay within the limits, it evicts the
// oldest events.
func (l *Backlog) Push(e *Event, position uint64, limits Limits) {
	l.push(e, position, limits)
	l.unsent = 0
}

// Keep is Push for an event that is for the next connection. It replaces the event with the same
// conflation key that no connection has had, and reports whether there was one, and whether an event
// was evicted that would have been sent again.
func (l *Backlog) Keep(e *Event, limits Limits) (evicted, replaced bool) {
	key := e.key()
	if key != (engineio.ConflationKey{}) {
		replaced = l.remove(func(n int32, at *entry) bool { return n >= l.len-l.unsent && at.event.key() == key })
	}
	evicted = l.push(e, 0, limits)
	l.unsent = min(l.unsent+1, l.len)
	return evicted, replaced
}

// Replaced takes out the event that was sent at a position and that the connection has not written,
// because a later one with the same conflation key has replaced it there.
func (l *Backlog) Replaced(position uint64) {
	at32 := uint32(position) //nolint:gosec // the lower half is meant
	l.remove(func(_ int32, at *entry) bool {
		return at.position == at32 && at.event.key() != engineio.ConflationKey{}
	})
}

// remove takes out the last event for which matches returns true, and reports whether there is one.
// That moves those before it, and so takes time for each.
func (l *Backlog) remove(matches func(n int32, at *entry) bool) bool {
	found := int32(-1)
	for n, at := range l.entries {
		if matches(n, at) {
			found = n
		}
	}
	if found < 0 {
		return false
	}
	var before entry
	for n, at := range l.entries {
		before, *at = *at, before
		if n == found {
			break
		}
	}
	l.first.entries[l.start] = before
	if found >= l.len-l.unsent {
		l.unsent--
	}
	l.drop(1)
	return true
}

// Newest returns the offset of the last event with a conflation key; empty if there is none.
func (l *Backlog) Newest(key engineio.ConflationKey) (offset string) {
	for _, at := range l.entries {
		if at.event.key() == key {
			offset = at.event.offset
		}
	}
	return offset
}

// push appends an event. It reports whether it has evicted one that would have been sent again.
func (l *Backlog) push(e *Event, position uint64, limits Limits) (evicted bool) {
	for l.len > 0 && l.exceeds(e.size, limits) {
		if oldest := &l.first.entries[l.start]; oldest.event.frame != nil {
			l.evicted, l.evictedPosition, l.evictedOffset = true, oldest.position, oldest.event.offset
			evicted = true
		}
		l.drop(1)
	}
	switch {
	case l.last == nil:
		l.first = l.budget.chunks.Get().(*chunk) //nolint:forcetypeassert // the pool holds nothing else
		l.last, l.start, l.end = l.first, 0, 0
	case l.end == chunkLen:
		l.budget.bytes.Add(chunkBytes)
		l.last.next = l.budget.chunks.Get().(*chunk) //nolint:forcetypeassert // the pool holds nothing else
		l.last, l.end = l.last.next, 0
	}
	l.last.entries[l.end] = entry{e, uint32(position)} //nolint:gosec // the lower half is meant
	l.end++
	l.len++
	l.bytes += e.size
	return evicted
}

// exceeds reports whether one more event would be too much.
func (l *Backlog) exceeds(size int, limits Limits) bool {
	return int(l.len) >= limits.Events || l.bytes+size > limits.Bytes ||
		l.budget.exceeded() && int64(l.bytes+size) > l.budget.share()
}

// Confirm drops everything up to a position: the client has received it.
func (l *Backlog) Confirm(position uint64) {
	confirmed := uint32(position)                                    //nolint:gosec // the lower half is meant
	covers := func(p uint32) bool { return int32(p-confirmed) <= 0 } //nolint:gosec // a difference
	for l.len > 0 && covers(l.first.entries[l.start].position) {
		l.drop(1)
	}
	if l.evicted && covers(l.evictedPosition) {
		l.evicted, l.evictedOffset = false, ""
	}
}

// Received drops everything up to the event with this offset, which the client says that it has
// received last; empty for none. It returns false, and changes nothing, if events are missing that
// the client may lack.
//
// Offsets aren't compared by their order: what several nodes or goroutines emit at once arrives in
// another order than it is numbered. An offset that isn't there was confirmed long ago, or is that
// of an earlier session.
func (l *Backlog) Received(offset string) bool {
	for n, at := range l.entries {
		if at.event.offset == offset {
			l.drop(n + 1)
			l.evicted, l.evictedOffset = false, ""
			return true
		}
	}
	if l.evicted && l.evictedOffset != offset {
		return false
	}
	l.evicted, l.evictedOffset = false, ""
	return true
}

// Resend calls send for each event that is sent again, in order, and gives it the position that send
// returns. The others keep their places among them: the client may still name them as the last that
// it has. Those before the first one get the position begin. Only the last event with a conflation key
// is sent again. The client lacks the others, so they leave the backlog; Resend returns their number.
func (l *Backlog) Resend(begin uint64, send func(*Event) (position uint64)) (replaced int) {
	newest := l.newest()
	kept := Backlog{budget: l.budget}
	unlimited := Limits{Events: int(l.len) + 1, Bytes: l.bytes + 1}
	position := begin
	for l.len > 0 {
		e := l.first.entries[l.start].event
		if last := newest[e.key()]; last != nil && last != e {
			l.drop(1)
			replaced++
			continue
		}
		if e.frame != nil {
			position = send(e)
		}
		kept.Push(e, position, unlimited)
		l.release(1)
	}
	*l = kept
	return replaced
}

// newest returns the last event with each conflation key; nil if there are none.
func (l *Backlog) newest() (newest map[engineio.ConflationKey]*Event) {
	for _, at := range l.entries {
		key := at.event.key()
		if key == (engineio.ConflationKey{}) {
			continue
		}
		if newest == nil {
			newest = make(map[engineio.ConflationKey]*Event)
		}
		newest[key] = at.event
	}
	return newest
}

// Clear drops all events. What the client may lack is missing from now on, unless it lacks nothing.
func (l *Backlog) Clear() {
	if l.len == 0 {
		return
	}
	newest := &l.last.entries[l.end-1]
	l.evicted, l.evictedPosition, l.evictedOffset = true, newest.position, newest.event.offset
	l.drop(l.len)
}

// drop takes the first n events off, which this backlog doesn't hold any more.
func (l *Backlog) drop(n int32) {
	for range n {
		l.first.entries[l.start].event.count(-1)
		l.release(1)
	}
}

// release takes the first n entries off.
func (l *Backlog) release(n int32) {
	for range n {
		at := &l.first.entries[l.start]
		l.bytes -= at.event.size
		*at = entry{}
		l.start++
		l.len--
		l.unsent = min(l.unsent, l.len)
		if l.start == chunkLen || l.len == 0 {
			empty := l.first
			l.first, l.start = empty.next, 0
			empty.next = nil
			l.budget.chunks.Put(empty)
			if l.first == nil {
				l.last, l.end = nil, 0
			} else {
				l.budget.bytes.Add(-chunkBytes)
			}
		}
	}
}
