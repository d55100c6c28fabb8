package load

import (
	"math/bits"
	"time"
)

const (
	// subBits makes a bucket at most 1/128 of its value wide.
	subBits = 7
	sub     = 1 << subBits
)

// Histogram counts durations in buckets whose width grows with the value. Its zero value is empty.
type Histogram struct {
	buckets [(64 - subBits) << subBits]uint64
	count   uint64
	largest time.Duration
}

// Record adds a duration.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucket(uint64(d))]++
	h.count++
	h.largest = max(h.largest, d)
}

// Quantile returns a duration that at least the share q of all durations do not exceed: the upper
// end of its bucket.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(q * float64(h.count))
	var seen uint64
	for i, n := range h.buckets {
		seen += n
		if seen > rank {
			return min(time.Duration(upper(i)), h.largest)
		}
	}
	return h.largest
}

// Max returns the largest duration.
func (h *Histogram) Max() time.Duration { return h.largest }

// bucket returns the bucket of a value: exact below sub, then sub buckets for each power of two.
func bucket(v uint64) int {
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// upper returns the largest value in a bucket.
func upper(i int) uint64 {
	if i < sub {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i&(sub-1))+sub+1)<<shift - 1
}
