package history

// log is what [Memory] keeps of one room. The caller does the locking.
type log struct {
	id       roomID
	epoch    string
	end      uint64 // the offset of the newest entry
	messages int    // what the room's rule says
	ttl      int64  // in milliseconds, as all times here
	used     int64  // when it was last read or appended to

	// The encoded entries are a ring: count of them, from start on.
	ring         [][]byte
	start, count int
	bytes        int64 // of the entries

	once once

	// Its place in Memory.
	counted      int64 // the bytes that are counted for it
	lru          *lru
	newer, older *log
	heapIndex    int
	due          int64 // when expiry looks at it
}

const (
	// logBytes is roughly what a log takes besides its entries and names.
	logBytes = 400
	// slotBytes is what an entry takes in the ring.
	slotBytes = 24
	// firstRing is how many entries the first ring has place for.
	firstRing = 4
)

func newLog(id roomID, epoch string) *log { return &log{id: id, epoch: epoch} }

// use notes that the log is used, according to the room's rule, and drops what has expired.
func (l *log) use(r Room, now int64) {
	l.messages, l.ttl, l.used = r.Messages, r.TTL.Milliseconds(), now
	l.expire(now)
}

// len returns the number of entries.
func (l *log) len() int { return l.count }

// position returns the position of the newest entry.
func (l *log) position() Position { return Position{Epoch: l.epoch, Offset: l.end} }

// append appends an entry and returns its position.
func (l *log) append(blob []byte) Position {
	for l.count > 0 && l.count >= l.messages {
		l.dropOldest()
	}
	if l.count == len(l.ring) {
		l.grow()
	}
	l.ring[(l.start+l.count)%len(l.ring)] = blob
	l.count++
	l.bytes += int64(cap(blob))
	l.end++
	return l.position()
}

// grow makes the ring larger, but not larger than the room's rule needs.
func (l *log) grow() {
	ring := make([][]byte, min(max(firstRing, 2*len(l.ring)), max(l.messages, l.count+1)))
	for i := range l.count {
		ring[i] = l.at(i)
	}
	l.ring, l.start = ring, 0
}

// at returns an entry by its index.
func (l *log) at(i int) []byte { return l.ring[(l.start+i)%len(l.ring)] }

// dropOldest drops the oldest entry. The ring goes with the last one.
func (l *log) dropOldest() {
	l.bytes -= int64(cap(l.ring[l.start]))
	l.ring[l.start] = nil
	l.start = (l.start + 1) % len(l.ring)
	l.count--
	if l.count == 0 {
		l.ring, l.start = nil, 0
	}
}

// expire drops what has expired.
func (l *log) expire(now int64) {
	for l.count > 0 && timeOf(l.at(0))+l.ttl <= now {
		l.dropOldest()
	}
	l.once.expire(now)
}

// clear drops all entries and begins an epoch.
func (l *log) clear(epoch string) {
	l.epoch, l.end = epoch, 0
	l.ring, l.start, l.count, l.bytes = nil, 0, 0, 0
}

// read returns the entries that a query selects, the offset of the first one, and the page without
// entries.
func (l *log) read(q Query) (blobs [][]byte, first uint64, page Page) {
	oldest := l.end - uint64(l.count) + 1 //nolint:gosec // a count isn't negative
	s := q.Select(l.position(), oldest)
	from := int(s.First - oldest) //nolint:gosec // at most count
	n := l.limit(from, s.Len(), q)
	if q.Since == nil {
		from += s.Len() - n
	}
	blobs = make([][]byte, n)
	for i := range blobs {
		blobs[i] = l.at(from + i)
	}
	return blobs, oldest + uint64(from), Page{End: l.position(), Complete: s.Complete, More: n < s.Len()} //nolint:gosec // an index isn't negative
}

// limit returns how many of n entries, from an index on, a query may return.
func (l *log) limit(from, n int, q Query) int {
	entries, bytes := q.Bounds()
	for i := range min(n, entries) {
		next := from + i
		if q.Since == nil {
			next = from + n - 1 - i
		}
		if bytes -= len(l.at(next)); bytes < 0 && i > 0 {
			return i
		}
	}
	return min(n, entries)
}

// grown returns by how many bytes the log has grown since the last call.
func (l *log) grown() int64 {
	now := logBytes + int64(len(l.id.namespace)+len(l.id.name)+len(l.epoch)) +
		int64(len(l.ring))*slotBytes + l.bytes + l.once.bytes()
	by := now - l.counted
	l.counted = now
	return by
}

// lru is a list of logs in the order of their last use. The zero lru is empty.
type lru struct{ newest, oldest *log }

// push adds a log that is in no list as the newest.
func (s *lru) push(l *log) {
	l.lru, l.newer, l.older = s, nil, s.newest
	if s.newest != nil {
		s.newest.newer = l
	} else {
		s.oldest = l
	}
	s.newest = l
}

// unlink takes a log out of its list, if it is in one.
func (l *log) unlink() {
	if l.lru == nil {
		return
	}
	if l.newer != nil {
		l.newer.older = l.older
	} else {
		l.lru.newest = l.older
	}
	if l.older != nil {
		l.older.newer = l.newer
	} else {
		l.lru.oldest = l.newer
	}
	l.lru, l.newer, l.older = nil, nil, nil
}

// oldestExcept returns the oldest log that isn't this one, or nil.
func (s *lru) oldestExcept(used *log) *log {
	if s.oldest == used && used != nil {
		return used.newer
	}
	return s.oldest
}
