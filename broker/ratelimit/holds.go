package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// HoldOptions configures [Holds].
type HoldOptions struct {
	// Total is the most bytes that may be held, and PerAddress the most for one address.
	Total, PerAddress int64
	// Exempt are the networks to whose addresses PerAddress doesn't apply.
	Exempt []netip.Prefix
	// Exceeded is called for each [Hold] that is ended because a limit is reached.
	Exceeded func()
}

// Holds limits the bytes that are buffered for clients, by the address that they come from. All
// addresses of a [realip.Network] count as one. Its methods, and those of different holds, may be
// called concurrently.
//
// When a limit is reached, it ends the hold with the most bytes times duration: of the address that
// has reached its own limit or, for the total, of the address that holds most. So an address that
// hoards makes room, and others don't notice.
type Holds struct {
	// Static.
	opts  HoldOptions
	start time.Time

	mu        sync.Mutex
	bytes     int64
	addresses map[key]*addressHolds
}

// addressHolds are the holds of an address. Guarded by Holds.mu.
type addressHolds struct {
	key    key
	exempt bool
	bytes  int64
	holds  []*Hold
}

// Hold is what is buffered for one message. It must be used by one goroutine at a time.
type Hold struct {
	// Static.
	all  *Holds
	addr netip.Addr
	cut  func()

	// Guarded by all.mu.
	of    *addressHolds // nil while nothing is held
	place int           // in of.holds
	bytes int64
	since time.Duration
	ended bool
}

// NewHolds returns limits with nothing held.
func NewHolds(o HoldOptions) *Holds {
	return &Holds{opts: o, start: time.Now(), addresses: make(map[key]*addressHolds)}
}

// Bytes returns how many bytes are held.
func (a *Holds) Bytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes
}

// Hold returns an empty hold for an address. cut is called when a limit ends the hold, at most once
// and on any goroutine. It must not wait for the goroutine that uses the hold.
func (a *Holds) Hold(addr netip.Addr, cut func()) *Hold {
	return &Hold{all: a, addr: addr, cut: cut}
}

// Grow adds n bytes to the hold. It reports false if a limit has ended the hold, which is then
// empty.
func (h *Hold) Grow(n int64) bool {
	ended, ok := h.grow(n)
	for _, other := range ended {
		h.all.opts.Exceeded()
		if other != h {
			other.cut()
		}
	}
	return ok
}

// grow is Grow without the callbacks. It returns the holds that it has ended.
func (h *Hold) grow(n int64) (ended []*Hold, ok bool) {
	a := h.all
	a.mu.Lock()
	defer a.mu.Unlock()
	if h.ended {
		return nil, false
	}
	now := time.Since(a.start)
	if h.of == nil {
		a.enter(h, now)
	}
	for !h.ended && !h.of.exempt && h.of.bytes+n > a.opts.PerAddress {
		ended = append(ended, a.end(h.of.heaviest(now)))
	}
	for !h.ended && a.bytes+n > a.opts.Total {
		ended = append(ended, a.end(a.largest(h.of, n).heaviest(now)))
	}
	if h.ended {
		return ended, false
	}
	h.bytes += n
	h.of.bytes += n
	a.bytes += n
	return ended, true
}

// Release empties the hold. It can be used again, unless a limit has ended it.
func (h *Hold) Release() {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.all.leave(h)
}

// enter adds h to the holds of its address. The caller holds mu.
func (a *Holds) enter(h *Hold, now time.Duration) {
	k := keyOf(h.addr)
	of, ok := a.addresses[k]
	if !ok {
		exempt := slices.ContainsFunc(a.opts.Exempt, func(p netip.Prefix) bool { return p.Contains(h.addr) })
		of = &addressHolds{key: k, exempt: exempt || !h.addr.IsValid()}
		a.addresses[k] = of
	}
	h.of, h.place, h.since = of, len(of.holds), now
	of.holds = append(of.holds, h)
}

// leave removes h and its bytes from its address. The caller holds mu.
func (a *Holds) leave(h *Hold) {
	of := h.of
	if of == nil {
		return
	}
	last := len(of.holds) - 1
	of.holds[h.place] = of.holds[last]
	of.holds[h.place].place = h.place
	of.holds[last] = nil
	of.holds = of.holds[:last]
	of.bytes -= h.bytes
	a.bytes -= h.bytes
	h.of, h.bytes = nil, 0
	if last == 0 {
		delete(a.addresses, of.key)
	}
}

// end ends a hold and returns it. The caller holds mu.
func (a *Holds) end(h *Hold) *Hold {
	a.leave(h)
	h.ended = true
	return h
}

// largest returns the holds of the address that holds most. own counts with n bytes more, which it
// wants. The caller holds mu.
func (a *Holds) largest(own *addressHolds, n int64) *addressHolds {
	most, bytes := own, own.bytes+n
	for _, of := range a.addresses {
		if of != own && of.bytes > bytes {
			most, bytes = of, of.bytes
		}
	}
	return most
}

// heaviest returns the hold with the largest weight.
func (of *addressHolds) heaviest(now time.Duration) *Hold {
	heaviest := of.holds[0]
	for _, h := range of.holds[1:] {
		if h.weight(now) > heaviest.weight(now) {
			heaviest = h
		}
	}
	return heaviest
}

// weight is bytes times duration.
func (h *Hold) weight(now time.Duration) float64 {
	return float64(h.bytes) * (now - h.since + time.Millisecond).Seconds()
}
