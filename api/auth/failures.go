package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/salabroker/sala/api/apierror"
)

// Limits of failed authentications from one address. Nobody who has a key comes
// near them; who guesses, or calls with a wrong key in a loop, does.
const (
	failuresAtOnce    = 100
	failuresPerSecond = 2
	// maxFailing bounds how many addresses are remembered. Those above that share
	// one limit.
	maxFailing = 4096
)

// exceeded takes one from a limiter and returns 0, or after what time there is
// one to take.
func exceeded(l *rate.Limiter) time.Duration {
	now := time.Now()
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// failures counts failed authentications by address. It may be used
// concurrently.
type failures struct {
	mu     sync.Mutex
	from   map[netip.Prefix]*rate.Limiter
	others *rate.Limiter
}

func newFailures() *failures {
	return &failures{from: make(map[netip.Prefix]*rate.Limiter), others: newFailureLimiter()}
}

func newFailureLimiter() *rate.Limiter { return rate.NewLimiter(failuresPerSecond, failuresAtOnce) }

// note counts a failure from an address. It returns err, or if there have been
// too many an error that says so.
func (f *failures) note(peer string, err error) error {
	if wait := exceeded(f.limiter(peer, true)); wait > 0 {
		return tooManyFailures(wait)
	}
	return err
}

// check returns an error if there have been too many failures from an address.
// It is for keys that might be guessed: who guesses doesn't get to hear whether
// the guess was right.
func (f *failures) check(peer string) error {
	l := f.limiter(peer, false)
	if l == nil || l.Tokens() >= 1 {
		return nil
	}
	return tooManyFailures(time.Second / failuresPerSecond)
}

func tooManyFailures(wait time.Duration) error {
	return apierror.Exhausted(apierror.ReasonRateLimited, "too many calls from this address had no valid API key; correct the key, or try again in a moment", wait)
}

// limiter returns that of an address or, if it shall not be added, nil.
func (f *failures) limiter(peer string, add bool) *rate.Limiter {
	from := network(peer)
	f.mu.Lock()
	defer f.mu.Unlock()
	l, known := f.from[from]
	switch {
	case known || !add:
		return l
	case len(f.from) >= maxFailing:
		f.forget()
	}
	if len(f.from) >= maxFailing {
		return f.others
	}
	l = newFailureLimiter()
	f.from[from] = l
	return l
}

// forget drops the addresses that haven't failed for long.
func (f *failures) forget() {
	for from, l := range f.from {
		if l.Tokens() >= failuresAtOnce {
			delete(f.from, from)
		}
	}
}

// network is what one caller is taken for: an IPv4 address, or the /64 of an
// IPv6 address, of which whoever has one has all. Peers without an address
// are one.
func network(peer string) netip.Prefix {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // of a valid address with fewer bits
	return prefix
}
