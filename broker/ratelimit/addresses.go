package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// AddressOptions configures [Addresses]. Zero numbers mean no limit.
type AddressOptions struct {
	// PerAddress is how many connections an address may have at a time.
	PerAddress int
	// Handshakes is how often an address may ask for one.
	Handshakes Rate
	// Exempt are the addresses that aren't counted.
	Exempt []netip.Prefix
}

// Addresses counts connections by the address that they come from. IPv6 addresses
// count by their first 64 bits, which is what one subscriber has at the least. Its
// methods may be called concurrently.
//
// It remembers those that have a connection, and for a while those that have
// asked for one, of which there are never more than a fixed number.
type Addresses struct {
	// Static.
	opts  AddressOptions
	start time.Time

	mu      sync.Mutex
	known   map[key]usage
	cleanAt int // how many are known when those that aren't needed are looked for
}

// key is an address or, of IPv6, its network.
type key [16]byte

// usage is what an address takes.
type usage struct {
	connections int32
	handshakes  Bucket
}

// Verdict says whether a connection may be opened.
type Verdict uint8

// What there is to say.
const (
	Admitted Verdict = iota
	TooMany          // the address has as many connections as it may have
	TooOften         // the address asks too often
)

const (
	// maxIdle is how many addresses without a connection are remembered. The
	// others get away with asking too often.
	maxIdle = 1 << 16
	// minClean is from how many known addresses on it is worth looking for those
	// that aren't needed.
	minClean = 1 << 10
)

// NewAddresses returns an empty count.
func NewAddresses(o AddressOptions) *Addresses {
	return &Addresses{opts: o, start: time.Now(), known: make(map[key]usage), cleanAt: minClean}
}

// Enter counts a connection that is to be opened, if it may; Leave must follow
// then. An address that isn't valid isn't counted.
func (a *Addresses) Enter(addr netip.Addr) Verdict {
	if !a.counts(addr) {
		return Admitted
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k, now := keyOf(addr), time.Since(a.start)
	u, ok := a.known[k]
	if !ok && len(a.known) >= a.cleanAt {
		a.clean(now)
	}
	verdict := Admitted
	switch {
	case !u.handshakes.Take(a.opts.Handshakes, 1, now):
		return TooOften // nothing has changed
	case a.opts.PerAddress > 0 && int(u.connections) >= a.opts.PerAddress:
		verdict = TooMany
	default:
		u.connections++
	}
	a.known[k] = u
	return verdict
}

// Leave gives the place back of a connection that was admitted.
func (a *Addresses) Leave(addr netip.Addr) {
	if !a.counts(addr) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := keyOf(addr)
	u := a.known[k]
	u.connections--
	if u.needed(time.Since(a.start)) {
		a.known[k] = u
	} else {
		delete(a.known, k)
	}
}

// counts reports whether an address has limits of its own.
func (a *Addresses) counts(addr netip.Addr) bool {
	limited := a.opts.PerAddress > 0 || a.opts.Handshakes.PerSecond > 0
	return limited && addr.IsValid() &&
		!slices.ContainsFunc(a.opts.Exempt, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// clean forgets the addresses of which nothing needs to be known, and if there
// are too many without a connection, some of those. The caller holds mu.
func (a *Addresses) clean(now time.Duration) {
	idle := 0
	for k, u := range a.known {
		switch {
		case u.connections > 0:
		case u.needed(now) && idle < maxIdle:
			idle++
		default:
			delete(a.known, k)
		}
	}
	a.cleanAt = max(minClean, 2*len(a.known))
}

func (u *usage) needed(now time.Duration) bool { return u.connections > 0 || !u.handshakes.Full(now) }

func keyOf(addr netip.Addr) key {
	if addr.Is6() {
		network, _ := addr.Prefix(64) // it fits
		addr = network.Addr()
	}
	return addr.As16()
}
