package history

import (
	"container/heap"
	"context"
	"time"
)

const (
	// expiryPause is how long expiry pauses at least, so that it looks at several rooms at a time.
	expiryPause = time.Second
	// expiryBatch is how many rooms it looks at before it lets others have the lock.
	expiryBatch = 1000
)

// Run implements [Engine]. It drops what has expired in rooms that nobody uses. In others, that
// happens when they are used.
func (m *Memory) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		next, more := m.dropExpired(time.Now())
		if !more {
			next = max(next, expiryPause)
		}
		timer.Reset(next)
	}
}

// dropExpired drops what has expired, in a batch of rooms. It returns when there is something to do
// again, and whether that is at once.
func (m *Memory) dropExpired(t time.Time) (next time.Duration, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := t.UnixMilli()
	for n := 0; len(m.expiring) > 0 && m.expiring[0].due <= now; n++ {
		if n == expiryBatch {
			return 0, true
		}
		l := m.expiring[0]
		filled := l.len() > 0
		l.expire(now)
		m.bytes += l.grown()
		if filled && l.len() == 0 {
			l.unlink()
			m.empty.push(l)
		}
		if l.due = l.expires(); l.due > now {
			heap.Fix(&m.expiring, 0)
		} else {
			m.drop(l)
		}
	}
	if len(m.expiring) == 0 {
		return PositionKept, false
	}
	return time.Duration(m.expiring[0].due-now) * time.Millisecond, false
}

// expect has expiry look at a new log when it may have expired.
func (m *Memory) expect(l *log) {
	l.due = l.used + l.ttl // even if it gets entries now
	heap.Push(&m.expiring, l)
	if l.heapIndex == 0 {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// expires returns when all entries of the log will have expired or, if there are none, the log
// itself.
func (l *log) expires() int64 {
	if l.count > 0 {
		return max(timeOf(l.oldest()), l.newest) + l.ttl
	}
	return max(l.used+l.ttl+PositionKept.Milliseconds(), l.once.last())
}

// expiring are logs in the order in which expiry looks at them, as a heap. A log that is used moves
// only when it is looked at.
type expiring []*log

// Len implements [heap.Interface].
func (h expiring) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h expiring) Less(i, j int) bool { return h[i].due < h[j].due }

// Swap implements [heap.Interface].
func (h expiring) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements [heap.Interface].
func (h *expiring) Push(x any) {
	l := x.(*log) //nolint:forcetypeassert // only logs are pushed
	l.heapIndex = len(*h)
	*h = append(*h, l)
}

// Pop implements [heap.Interface].
func (h *expiring) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
