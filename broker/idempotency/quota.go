package idempotency

import (
	"sync"
	"time"
)

// quotaParts is into how many parts a quota divides its window. A claim counts for up to one part
// longer than the window.
const quotaParts = 32

// quotas bound the claims that a node makes within a window, and their bytes: in all, and for each
// owner three quarters of that, so that nobody uses up what others need.
type quotas struct {
	// Static.
	window time.Duration
	total  *quota

	mu sync.Mutex
	of map[string]*quota // by owner
}

func newQuotas(window time.Duration, maxKeys, maxBytes int64) *quotas {
	return &quotas{window: window, total: newQuota(window, maxKeys, maxBytes), of: make(map[string]*quota)}
}

// owner returns the quota of an owner. There are few owners: they are API keys.
func (q *quotas) owner(name string) *quota {
	q.mu.Lock()
	defer q.mu.Unlock()
	one, ok := q.of[name]
	if !ok {
		one = newQuota(q.window, q.total.maxKeys*3/4, q.total.maxBytes*3/4)
		q.of[name] = one
	}
	return one
}

// full reports whether an owner can make no further claim.
func (q *quotas) full(owner string) bool { return q.total.full() || q.owner(owner).full() }

// count adds claims of an owner, and bytes.
func (q *quotas) count(owner string, keys, bytes int) {
	q.total.count(keys, bytes)
	q.owner(owner).count(keys, bytes)
}

// quota bounds claims within a window, and their bytes.
type quota struct {
	// Static.
	part     time.Duration
	maxKeys  int64
	maxBytes int64
	start    time.Time // parts are counted from here

	// Guarded by mu.
	mu    sync.Mutex
	parts [quotaParts + 1]usage
	last  int64 // the number of the newest part
	total usage
}

type usage struct{ keys, bytes int64 }

func newQuota(window time.Duration, maxKeys, maxBytes int64) *quota {
	return &quota{part: max(window/quotaParts, 1), maxKeys: maxKeys, maxBytes: maxBytes, start: time.Now()}
}

// full reports whether there can be no further claim. Those that are being made don't count yet.
func (q *quota) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advance(time.Now())
	return q.total.keys >= q.maxKeys || q.total.bytes >= q.maxBytes
}

// count adds claims and bytes.
func (q *quota) count(keys, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advance(time.Now())
	newest := &q.parts[q.last%int64(len(q.parts))]
	newest.keys += int64(keys)
	newest.bytes += int64(bytes)
	q.total.keys += int64(keys)
	q.total.bytes += int64(bytes)
}

// advance forgets the parts that lie more than a window back.
func (q *quota) advance(now time.Time) {
	newest := int64(now.Sub(q.start) / q.part)
	for range min(newest-q.last, int64(len(q.parts))) {
		q.last++
		oldest := &q.parts[q.last%int64(len(q.parts))]
		q.total.keys -= oldest.keys
		q.total.bytes -= oldest.bytes
		*oldest = usage{}
	}
	q.last = max(q.last, newest)
}
