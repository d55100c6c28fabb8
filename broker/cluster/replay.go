package cluster

import (
	"sync"
	"time"
)

const (
	// windowBits is how far a message may be behind its sender's latest and still be recognised as
	// new. Messages of one sender overtake each other if their channels live on different servers.
	windowBits = 1 << 16
	// maxSenders bounds how many senders are tracked.
	maxSenders = 4096
)

// replays records which envelopes have been accepted, so that none is accepted twice.
type replays struct {
	idle time.Duration // after which a silent sender may be dropped

	mu      sync.Mutex
	senders map[NodeID]*window
}

// window records which of a sender's latest windowBits messages have come.
type window struct {
	latest   uint64
	seen     [windowBits / 64]uint64
	lastSeen time.Time
}

func newReplays(idle time.Duration) *replays {
	return &replays{idle: idle, senders: make(map[NodeID]*window)}
}

// accept records a message and reports whether it is new. A message too old for the window is not.
func (r *replays) accept(sender NodeID, sequence uint64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.senders[sender]
	if !ok {
		if len(r.senders) >= maxSenders && !r.dropIdle(now) {
			return false
		}
		w = &window{}
		r.senders[sender] = w
	}
	w.lastSeen = now
	return w.accept(sequence)
}

// dropIdle drops senders that have been silent for long and reports whether there were any. The
// caller holds mu.
func (r *replays) dropIdle(now time.Time) bool {
	before := len(r.senders)
	for id, w := range r.senders {
		if now.Sub(w.lastSeen) > r.idle {
			delete(r.senders, id)
		}
	}
	return len(r.senders) < before
}

func (w *window) accept(sequence uint64) bool {
	if sequence == 0 || sequence+windowBits <= w.latest {
		return false
	}
	if sequence > w.latest {
		w.advance(sequence)
	}
	word, bit := &w.seen[sequence%windowBits/64], uint64(1)<<(sequence%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// advance makes room for the numbers up to sequence, in place of those that are windowBits older.
func (w *window) advance(sequence uint64) {
	if sequence-w.latest >= windowBits {
		clear(w.seen[:])
		w.latest = sequence
		return
	}
	for w.latest < sequence {
		w.latest++
		w.seen[w.latest%windowBits/64] &^= 1 << (w.latest % 64)
	}
}
