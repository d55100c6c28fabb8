package ratelimit

import "time"

// Rate is how much of something may be taken: PerSecond on average, and up to Burst at once.
// PerSecond 0 means no limit. Neither may be above [MaxRate].
type Rate struct{ PerSecond, Burst int64 }

// MaxRate bounds the numbers of a [Rate], so that arithmetic on them can't overflow.
const MaxRate = 4_000_000_000

// Bucket is a token bucket. The zero Bucket is full. Callers pass its [Rate] to each method, so
// that a Bucket is one word. It must be used by one goroutine at a time.
type Bucket struct {
	full time.Duration // when it will be full again
}

// Take takes n tokens and reports true. If the bucket has fewer, it takes none and reports false.
// now is the monotonic time since any fixed moment.
func (b *Bucket) Take(r Rate, n int64, now time.Duration) bool {
	switch {
	case r.PerSecond <= 0:
		return true
	case n > r.Burst:
		return false
	}
	full := max(b.full, now) + r.refill(n)
	if full-now > r.refill(r.Burst) {
		return false
	}
	b.full = full
	return true
}

// Spend takes n tokens, even if the bucket has fewer. It returns how long the bucket then takes to
// have no debt; zero if it has none. now is as for Take.
func (b *Bucket) Spend(r Rate, n int64, now time.Duration) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	b.full = max(b.full, now) + r.refill(n)
	return max(b.full-now-r.refill(r.Burst), 0)
}

// Full reports whether the bucket is full.
func (b *Bucket) Full(now time.Duration) bool { return b.full <= now }

// refill returns how long it takes to refill n tokens.
func (r Rate) refill(n int64) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(r.PerSecond)
}
