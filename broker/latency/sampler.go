package latency

import (
	"sync/atomic"
	"time"
)

const (
	// maxEvery is the fewest messages that are measured: one in so many.
	maxEvery = 64
	// spacing is how far apart measured messages should be. With all messages measured, a
	// thousand a second would be.
	spacing = time.Millisecond
)

// Time is when a message was received, measured from the start of its [Sampler]. It is zero for a
// message that isn't measured.
type Time int64

// Measured reports whether the message is measured.
func (t Time) Measured() bool { return t != 0 }

// Sampler selects the messages whose latency is measured: all of them while they come slowly, and
// down to one in 64 when they come fast. Measuring one takes two readings of the clock and as many
// updates of a histogram, which would be a few percent of what the fastest emits take. Its methods
// may be called concurrently.
type Sampler struct {
	start time.Time // static

	// Whoever takes skip below zero sets all of them. Two goroutines that do so at once measure
	// one message more.
	skip  atomic.Int64 // messages that are not measured until the next one is
	every atomic.Int64 // one message in so many is measured at the moment
	last  atomic.Int64 // Time of the message that was measured last
}

// NewSampler returns a sampler that measures the next message.
func NewSampler() *Sampler {
	s := &Sampler{start: time.Now()}
	s.every.Store(1)
	s.last.Store(-int64(spacing))
	return s
}

// Receive is called once for each message that is received. It returns the time if the message is
// to be measured, and zero otherwise.
func (s *Sampler) Receive() Time {
	if s.skip.Add(-1) >= 0 {
		return 0
	}
	now := max(int64(time.Since(s.start)), 1)
	apart := now - s.last.Swap(now)
	every := s.every.Load()
	if apart < int64(spacing) {
		every = min(2*every, maxEvery)
	} else {
		every = max(every/2, 1)
	}
	s.every.Store(every)
	s.skip.Store(every - 1)
	return Time(now)
}

// Since returns how much time has passed since t, which must be measured.
func (s *Sampler) Since(t Time) time.Duration { return time.Since(s.start) - time.Duration(t) }
