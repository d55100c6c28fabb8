package ratelimit

import "time"

// Rate is how much of something may be taken: PerSecond in the long run, and up
// to Burst at once. With PerSecond 0 there is no limit. Neither is more than
// [MaxRate].
type Rate struct{ PerSecond, Burst int64 }

// MaxRate bounds the numbers of a [Rate], so that they can be multiplied.
const MaxRate = 4_000_000_000

// Bucket is a token bucket; the zero Bucket is full. What flows into it stands in
// the [Rate], so that a bucket takes no more than a word. It is used by one
// goroutine at a time.
type Bucket struct {
	full time.Duration // when it will be full again
}

// Take takes n out of the bucket and reports true or, if there is less in it,
// takes nothing. now is the time since a moment of the caller's choice, always
// the same, by a clock that is never set back.
func (b *Bucket) Take(r Rate, n int64, now time.Duration) bool {
	switch {
	case r.PerSecond <= 0:
		return true
	case n > r.Burst:
		return false
	}
	full := max(b.full, now) + r.lasts(n)
	if full-now > r.lasts(r.Burst) {
		return false
	}
	b.full = full
	return true
}

// Spend takes n out of the bucket, which may then lack some, and returns how long
// it takes until it lacks nothing; zero if it doesn't. now is as for Take.
func (b *Bucket) Spend(r Rate, n int64, now time.Duration) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	b.full = max(b.full, now) + r.lasts(n)
	return max(b.full-now-r.lasts(r.Burst), 0)
}

// Full reports whether nothing is missing from the bucket.
func (b *Bucket) Full(now time.Duration) bool { return b.full <= now }

// lasts is how long it takes until n have flowed in.
func (r Rate) lasts(n int64) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(r.PerSecond)
}
