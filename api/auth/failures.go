package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/realip"
)

// Limits of failed authentications from one address. Callers with a valid key stay far
// below them. Guessing, or calling with a wrong key in a loop, exceeds them.
const (
	failuresAtOnce    = 100
	failuresPerSecond = 2
	// maxFailing bounds the addresses that have a limit of their own. All others share
	// one.
	maxFailing = 4096
)

// exceeded takes a token from a limiter and returns 0, or it returns how long it takes
// until there is one.
func exceeded(l *rate.Limiter) time.Duration {
	now := time.Now()
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// failures counts failed authentications by address. Its methods may be called
// concurrently.
type failures struct {
	// Guarded by mu, which is held with no other lock.
	mu     sync.Mutex
	from   map[netip.Prefix]*rate.Limiter
	others *rate.Limiter
}

func newFailures() *failures {
	return &failures{from: make(map[netip.Prefix]*rate.Limiter), others: newFailureLimiter()}
}

func newFailureLimiter() *rate.Limiter { return rate.NewLimiter(failuresPerSecond, failuresAtOnce) }

// note counts a failure from an address. It returns err or, after too many failures, an
// error that says so.
func (f *failures) note(peer string, err error) error {
	if wait := exceeded(f.limiter(peer, true)); wait > 0 {
		return tooManyFailures(wait)
	}
	return err
}

// check returns an error after too many failures from an address. It is for keys that
// are short enough to guess: an attacker doesn't learn whether a guess is right.
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

// limiter returns the limiter of an address. If there is none, it adds one, or returns
// nil if add is false.
func (f *failures) limiter(peer string, add bool) *rate.Limiter {
	from := network(peer)
	f.mu.Lock()
	defer f.mu.Unlock()
	l, known := f.from[from]
	if known || !add {
		return l
	}
	if len(f.from) >= maxFailing {
		f.forget()
	}
	if len(f.from) >= maxFailing {
		return f.others
	}
	l = newFailureLimiter()
	f.from[from] = l
	return l
}

// forget drops the addresses whose failures are long past.
func (f *failures) forget() {
	for from, l := range f.from {
		if l.Tokens() >= failuresAtOnce {
			delete(f.from, from)
		}
	}
}

// network returns the addresses that count as one caller. Peers without an address count as one,
// too. Peers behind trusted proxies have no port.
func network(peer string) netip.Prefix { return realip.Network(realip.Address(peer)) }
