package eventhub

import (
	"sync"
	"sync/atomic"
)

const (
	// freeBytes of each member's queue don't count against its owner's share. The queues of members
	// that keep up aren't longer, so they never look at the share.
	freeBytes = 64 << 10
	// reserveStep is how many bytes at least a member reserves at a time.
	reserveStep = 64 << 10
)

// backlogs bound what waits for the members of each owner. Members with different filters keep
// different events, so a bound for each member isn't enough.
type backlogs struct {
	most int64 // static; of each owner

	mu sync.Mutex
	of map[string]*atomic.Int64 // by owner; there are few: they are API keys
}

func newBacklogs(most int64) *backlogs {
	return &backlogs{most: most, of: make(map[string]*atomic.Int64)}
}

// owner returns how many bytes the members of an owner have reserved.
func (b *backlogs) owner(name string) *atomic.Int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	reserved, ok := b.of[name]
	if !ok {
		reserved = new(atomic.Int64)
		b.of[name] = reserved
	}
	return reserved
}

// accepts reports whether an entry may be pushed, if the queue has these limits, and reserves what it
// takes. The caller holds group.mu.
func (s *Subscription) accepts(en *entry, maxCount, maxBytes int) bool {
	if !s.queue.fits(en, maxCount, maxBytes) {
		return false
	}
	need := s.queue.bytes + en.size - s.reserved
	if need <= 0 || s.remote != nil { // the other node doesn't say whose it is
		return true
	}
	step := int64(max(need, reserveStep))
	if s.share.Add(step) > s.hub.backlogs.most {
		s.share.Add(-step)
		return false
	}
	s.reserved += int(step)
	return true
}

// unreserve gives back what an empty queue has reserved. The caller holds group.mu.
func (s *Subscription) unreserve() {
	if s.queue.count == 0 && s.reserved > freeBytes {
		s.share.Add(-int64(s.reserved - freeBytes))
		s.reserved = freeBytes
	}
}
