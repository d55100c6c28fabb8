package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/salabroker/sala/api/apierror"
)

// Caller is an API key that the server accepts.
type Caller struct {
	// Static.
	Key
	rate *rate.Limiter // nil if it may call as often as it likes

	Calls         atomic.Int64 // in flight
	Subscriptions atomic.Int64
}

// Admit returns an error if the key may not call a method, or not now. It counts
// the call.
func (c *Caller) Admit(method string) error {
	if err := c.Authorize(method); err != nil {
		return err
	}
	return c.take()
}

// Authenticator knows the keys that the server accepts. Its methods may be called
// concurrently.
type Authenticator struct {
	callers  []*Caller
	failures *failures
}

// New refuses two entries for one secret, as it would be unclear whose
// scopes count. callRate is how often each key may call in a second, 0 for any.
func New(keys []Key, callRate int) (*Authenticator, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no API key, so nobody could call the control API; set at least one")
	}
	seen := make(map[[sha256.Size]byte]string, len(keys))
	a := &Authenticator{failures: newFailures()}
	for _, key := range keys {
		if other, ok := seen[key.sum]; ok {
			return nil, fmt.Errorf("the API keys %q and %q are the same; each needs a key of its own", other, key.name)
		}
		seen[key.sum] = key.name
		c := &Caller{Key: key}
		if callRate > 0 {
			c.rate = rate.NewLimiter(rate.Limit(callRate), callRate)
		}
		a.callers = append(a.callers, c)
	}
	return a, nil
}

// find returns the caller that a secret belongs to, or nil. It takes the same time
// whichever key matches.
func (a *Authenticator) find(secret string) *Caller {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i, c := range a.callers {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], c.sum[:]), i, found)
	}
	if found < 0 {
		return nil
	}
	return a.callers[found]
}

// bearer returns the secret that came with a call, of which values are the
// Authorization headers, or a *[broker.Error].
func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", apierror.Unauthenticated(apierror.ReasonAPIKeyRequired,
			`an API key is needed: send the header "Authorization: Bearer <api key>" (over gRPC: the metadata "authorization")`)
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	secret = strings.TrimSpace(secret)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return "", apierror.Unauthenticated(apierror.ReasonAPIKeyRequired,
			`the Authorization header can't be read: send it once, as "Authorization: Bearer <api key>"`)
	}
	return secret, nil
}

// Authenticate returns the caller whose key came with a call, of which values are the
// Authorization headers, or an error for the caller. It calls peer, which returns the
// address of the call, only if it needs the address.
func (a *Authenticator) Authenticate(values []string, peer func() string) (*Caller, error) {
	secret, err := bearer(values)
	if err != nil {
		return nil, a.failures.note(peer(), err)
	}
	c := a.find(secret)
	if c == nil {
		return nil, a.failures.note(peer(), apierror.Unauthenticated(apierror.ReasonAPIKeyInvalid,
			"the broker doesn't know this API key: send one of the keys in its configuration"))
	}
	if c.guessable {
		return c, a.failures.check(peer())
	}
	return c, nil
}

// take counts one call, or one event of several, and returns an error if the
// key has made too many.
func (c *Caller) take() error {
	if c.rate == nil {
		return nil
	}
	if wait := exceeded(c.rate); wait > 0 {
		return apierror.Exhausted(apierror.ReasonRateLimited, "the API key "+c.name+" calls more often than the rate limit allows; slow down, or try again in a moment", wait)
	}
	return nil
}
