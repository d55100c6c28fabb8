package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/realip"
)

// AddressOptions configures [Addresses]. Zero numbers mean no limit.
type AddressOptions struct {
	// PerAddress is the most connections that an address may have at a time.
	PerAddress int
	// Handshakes is how often an address may ask for a connection.
	Handshakes Rate
	// Exempt are the networks whose addresses have no limits.
	Exempt []netip.Prefix
}

// Addresses limits connections by the address that they come from. All addresses of a
// [realip.Network] count as one. Its methods may be called concurrently.
//
// It keeps the addresses that have a connection and, for a while, a bounded number of those that
// have asked for one.
type Addresses struct {
	// Static.
	opts  AddressOptions
	start time.Time

	mu      sync.Mutex
	known   map[key]usage
	cleanAt int // size of known at which clean runs next
}

// key is the first address of a client's network.
type key [16]byte

// usage is what an address uses.
type usage struct {
	connections int32
	handshakes  Bucket
}

// Verdict says whether a connection may be opened.
type Verdict uint8

// Verdicts of [Addresses.Enter].
const (
	Admitted Verdict = iota
	TooMany          // the address has too many connections
	TooOften         // the address has asked too often
)

const (
	// maxIdle bounds how many addresses without a connection are kept. Further ones may ask too
	// often unnoticed.
	maxIdle = 1 << 16
	// minClean is the least number of addresses that is worth cleaning up.
	minClean = 1 << 10
)

// NewAddresses returns limits with no connections.
func NewAddresses(o AddressOptions) *Addresses {
	return &Addresses{opts: o, start: time.Now(), known: make(map[key]usage), cleanAt: minClean}
}

// Enter counts a connection and returns [Admitted], after which Leave must follow, or returns why
// the address may not open one. Addresses that aren't valid have no limits.
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
		return TooOften // and change nothing
	case a.opts.PerAddress > 0 && int(u.connections) >= a.opts.PerAddress:
		verdict = TooMany
	default:
		u.connections++
	}
	a.known[k] = u
	return verdict
}

// Leave uncounts a connection that was admitted.
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

// counts reports whether an address has limits.
func (a *Addresses) counts(addr netip.Addr) bool {
	limited := a.opts.PerAddress > 0 || a.opts.Handshakes.PerSecond > 0
	return limited && addr.IsValid() &&
		!slices.ContainsFunc(a.opts.Exempt, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// clean forgets the addresses that have neither connections nor recent handshakes, and, if too many
// have no connection, some of those. The caller holds mu.
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

func keyOf(addr netip.Addr) key { return realip.Network(addr).Addr().As16() }
