package history

import (
	"encoding/binary"
	"slices"
)

// log is what [Memory] keeps of one room. The caller does the locking.
type log struct {
	id       roomID
	epoch    string
	end      uint64 // the offset of the newest entry
	messages int    // what the room's rule says
	ttl      int64  // in milliseconds, as all times here
	used     int64  // when it was last read or appended to

	blocks []block
	count  int   // entries
	newest int64 // the time of the newest entry
	bytes  int64 // of the blocks

	once once

	// Its place in Memory.
	counted      int64 // the bytes that are counted for it
	lru          *lru
	newer, older *log
	heapIndex    int
	due          int64 // when expiry looks at it
}

// block is some encoded entries that follow each other, in one piece of memory. Entries are only added
// behind others and never change, so readers may keep them.
type block struct {
	data  []byte // each entry has its length before it, unless it is the whole block
	start uint32 // of the oldest entry that is kept
	count uint16 // entries that are kept
	whole bool   // the block is one entry, which other rooms may share
}

const (
	// logBytes is roughly what a log takes besides its entries and names.
	logBytes = 420
	// blockBytes is what a block takes besides its entries.
	blockBytes = 32
	// smallBlock is the size of the blocks of a room that has little. Rooms with more have larger
	// ones, up to largeBlock: all entries take about blockPart blocks. So little memory is kept for
	// entries that were dropped, or that are to come.
	smallBlock = 1024
	largeBlock = 4096
	blockPart  = 8
	// blocksStep is for how many more blocks a log gets place at a time.
	blocksStep = 4
	// largeEntry is how large an entry is at least that has a block of its own.
	largeEntry = 1024
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

// append appends an encoded entry and returns its position. If whole is true, the log keeps the
// slice instead of a copy.
func (l *log) append(encoded []byte, whole bool) Position {
	for l.count > 0 && l.count >= l.messages {
		l.dropOldest()
	}
	if whole {
		l.add(block{data: encoded, count: 1, whole: true})
	} else {
		b := l.blockFor(len(encoded) + numberSize(uint64(len(encoded))))
		b.data = binary.AppendUvarint(b.data, uint64(len(encoded)))
		b.data = append(b.data, encoded...)
		b.count++
	}
	l.count++
	l.newest = timeOf(encoded)
	l.end++
	return l.position()
}

// blockFor returns a block that has place for so many bytes.
func (l *log) blockFor(size int) *block {
	if n := len(l.blocks); n > 0 {
		if last := &l.blocks[n-1]; !last.whole && cap(last.data)-len(last.data) >= size {
			return last
		}
	}
	place := min(max(smallBlock, int(l.bytes)/blockPart), largeBlock, int(l.bytes))
	// The next entries are probably as large, and the last of them should fit, too.
	l.add(block{data: slices.Grow([]byte(nil), max(1, place/size)*size)})
	return &l.blocks[len(l.blocks)-1]
}

func (l *log) add(b block) {
	if len(l.blocks) == cap(l.blocks) {
		l.blocks = append(make([]block, 0, len(l.blocks)+blocksStep), l.blocks...)
	}
	l.blocks = append(l.blocks, b)
	l.bytes += int64(cap(b.data))
}

// next returns the entry at a place in the block, and the place of the one after it.
func (b *block) next(at uint32) (encoded []byte, after uint32) {
	if b.whole {
		return b.data, 0
	}
	size, n := binary.Uvarint(b.data[at:])
	from := int(at) + n
	to := from + int(size)                //nolint:gosec // the length of a part of it
	return b.data[from:to:to], uint32(to) //nolint:gosec // a block has some thousand bytes
}

// oldest returns the oldest entry. There must be one.
func (l *log) oldest() []byte {
	encoded, _ := l.blocks[0].next(l.blocks[0].start)
	return encoded
}

// dropOldest drops the oldest entry.
func (l *log) dropOldest() {
	b := &l.blocks[0]
	_, b.start = b.next(b.start)
	b.count--
	l.count--
	if b.count > 0 {
		return
	}
	l.bytes -= int64(cap(b.data))
	l.blocks[0] = block{}
	if l.blocks = l.blocks[1:]; len(l.blocks) == 0 {
		l.blocks = nil
	}
}

// expire drops what has expired.
func (l *log) expire(now int64) {
	for l.count > 0 && timeOf(l.oldest())+l.ttl <= now {
		l.dropOldest()
	}
	l.once.expire(now)
}

// clear drops all entries and begins an epoch.
func (l *log) clear(epoch string) {
	l.epoch, l.end = epoch, 0
	l.blocks, l.count, l.bytes = nil, 0, 0
}

// read returns what a query selects.
func (l *log) read(q Query) Page {
	oldest := l.end - uint64(l.count) + 1 //nolint:gosec // a count isn't negative
	s := q.Select(l.position(), oldest)
	limit, _ := q.Bounds()
	n := min(s.Len(), limit)
	from := s.First
	if q.Since == nil {
		from = s.Last + 1 - uint64(n) //nolint:gosec // a count isn't negative
	}
	entries := q.Fit(l.entries(oldest, from, n))
	return Page{Entries: entries, End: l.position(), Complete: s.Complete, More: len(entries) < s.Len()}
}

// entries returns n entries from an offset on. oldest is the offset of the oldest entry.
func (l *log) entries(oldest, from uint64, n int) []Recorded {
	if n == 0 {
		return nil
	}
	found := make([]Recorded, 0, n)
	skip := int(from - oldest) //nolint:gosec // less than count
	for i := range l.blocks {
		b := &l.blocks[i]
		if skip >= int(b.count) {
			skip -= int(b.count)
			continue
		}
		at, encoded := b.start, []byte(nil)
		for range b.count {
			encoded, at = b.next(at)
			if skip > 0 {
				skip--
				continue
			}
			found = append(found, Recorded{from, encoded})
			if from++; len(found) == n {
				return found
			}
		}
	}
	return found
}

// grown returns by how many bytes the log has grown since the last call.
func (l *log) grown() int64 {
	now := logBytes + int64(len(l.id.namespace)+len(l.id.name)+len(l.epoch)) +
		int64(cap(l.blocks))*blockBytes + l.bytes + l.once.bytes()
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
