package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// HoldOptions configures [Holds].
type HoldOptions struct {
	// Total is how many bytes may be held, and PerAddress how many of them for
	// one address.
	Total, PerAddress int64
	// Exempt are the addresses that have no limit of their own.
	Exempt []netip.Prefix
	// Exceeded is called when a [Hold] has to end since a limit is reached.
	Exceeded func()
}

// Holds counts the bytes that are held for clients by the address that they come
// from, where IPv6 addresses count by their first 64 bits. Its methods may be
// called concurrently; so may those of different Holds of it.
//
// Where a limit is reached, a hold ends that has held much for long: of those of
// the address that has reached its own limit, or of the address that holds most
// of all. So whoever hoards makes room, and nobody else notices.
type Holds struct {
	// Static.
	opts  HoldOptions
	start time.Time

	mu        sync.Mutex
	bytes     int64
	addresses map[key]*addressHolds
}

// addressHolds is what is held for an address. Guarded by Holds.mu.
type addressHolds struct {
	key    key
	exempt bool
	bytes  int64
	holds  []*Hold
}

// Hold is what is held for one message. It is used by one goroutine at a time.
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

// NewHolds returns an empty count.
func NewHolds(o HoldOptions) *Holds {
	return &Holds{opts: o, start: time.Now(), addresses: make(map[key]*addressHolds)}
}

// Bytes returns how many bytes are held.
func (a *Holds) Bytes() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes
}

// Hold returns a hold for an address that holds nothing yet. cut is called, at
// most once and on any goroutine, when what is held has to be given up: it must
// not wait for the goroutine that uses the hold.
func (a *Holds) Hold(addr netip.Addr, cut func()) *Hold {
	return &Hold{all: a, addr: addr, cut: cut}
}

// Grow holds n bytes more. It reports false if the hold has ended because it
// held too much: nothing is held any more then.
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

// grow is Grow without telling whom it has ended.
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
		ended = append(ended, a.end(h.of.worst(now)))
	}
	for !h.ended && a.bytes+n > a.opts.Total {
		ended = append(ended, a.end(a.largest(h.of, n).worst(now)))
	}
	if h.ended {
		return ended, false
	}
	h.bytes += n
	h.of.bytes += n
	a.bytes += n
	return ended, true
}

// Release gives everything back. The hold can be used again, unless it has ended.
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

// leave takes h away from its address, with what it holds. The caller holds mu.
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

// end ends a hold. The caller holds mu.
func (a *Holds) end(h *Hold) *Hold {
	a.leave(h)
	h.ended = true
	return h
}

// largest returns the holds of the address that holds most, where own, whose
// address wants n bytes more, counts with these. The caller holds mu.
func (a *Holds) largest(own *addressHolds, n int64) *addressHolds {
	most, bytes := own, own.bytes+n
	for _, of := range a.addresses {
		if of != own && of.bytes > bytes {
			most, bytes = of, of.bytes
		}
	}
	return most
}

// worst returns the hold that has held most for longest.
func (of *addressHolds) worst(now time.Duration) *Hold {
	worst := of.holds[0]
	for _, h := range of.holds[1:] {
		if h.weight(now) > worst.weight(now) {
			worst = h
		}
	}
	return worst
}

// weight is how much has been held for how long.
func (h *Hold) weight(now time.Duration) float64 {
	return float64(h.bytes) * (now - h.since + time.Millisecond).Seconds()
}
