// Package auth decides who may call the control API, and what for.
//
// A [Key] is an API key as the configuration has it (key.go), with the scopes that it
// grants (grants.go, scopes.go). An [Authenticator] finds the [Caller] of a call by its
// key. [Caller.Admit] checks the scope of the method, before anything of the request is
// read; the service then checks with a [Reach] that the rooms, users and namespaces of
// the request are within the limits of the scope.
package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/salabroker/sala/api/apierror"
)

// Caller is an API key that the server accepts, and what its holder is doing. Its
// methods may be called concurrently.
type Caller struct {
	// Static.
	Key
	rate *rate.Limiter // nil for no limit

	Calls         atomic.Int64 // calls in flight
	Subscriptions atomic.Int64 // open Subscribe streams
	Unwritten     atomic.Int64 // bytes of answers over gRPC that wait to be written

	ended chan struct{} // closed when the server no longer accepts the key as it is; nil for never
	cause error         // why; may be read after ended
}

// Ended is closed when the server no longer accepts the key, or accepts it with another name or
// other scopes. It is nil for a Caller that [New] hasn't made.
func (c *Caller) Ended() <-chan struct{} { return c.ended }

// Cause returns the error for calls that go on when the key ends; nil before. It is a
// *[broker.Error].
func (c *Caller) Cause() error {
	select {
	case <-c.ended:
		return c.cause
	default:
		return nil
	}
}

func (c *Caller) end(cause error) {
	c.cause = cause
	close(c.ended)
}

// Admit counts a call of a method. It returns a *[broker.Error] if the key has ended, lacks the
// scope, or has exceeded its rate.
func (c *Caller) Admit(method string) error {
	if err := c.Cause(); err != nil {
		return err
	}
	if err := c.Authorize(method); err != nil {
		return err
	}
	return c.take()
}

// Authenticator knows the keys that the server accepts. Its methods may be called
// concurrently.
type Authenticator struct {
	callRate  int
	callers   atomic.Pointer[[]*Caller] // the slice never changes
	failures  *failures
	replacing sync.Mutex // held by Replace
}

// New returns an Authenticator for keys. There must be at least one. Two keys
// with the same secret are an error, since their scopes may differ. callRate is how many
// calls each key may make per second; 0 is no limit.
func New(keys []Key, callRate int) (*Authenticator, error) {
	if err := checkKeys(keys); err != nil {
		return nil, err
	}
	a := &Authenticator{callRate: callRate, failures: newFailures()}
	callers := make([]*Caller, len(keys))
	for i, key := range keys {
		callers[i] = a.newCaller(key)
	}
	a.callers.Store(&callers)
	return a, nil
}

func (a *Authenticator) newCaller(key Key) *Caller {
	c := &Caller{Key: key, ended: make(chan struct{})}
	if a.callRate > 0 {
		c.rate = rate.NewLimiter(rate.Limit(a.callRate), a.callRate)
	}
	return c
}

func checkKeys(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("there is no API key, so nobody could call the control API; set at least one")
	}
	seen := make(map[[sha256.Size]byte]string, len(keys))
	for _, key := range keys {
		if other, ok := seen[key.sum]; ok {
			return fmt.Errorf("the API keys %q and %q are the same; each needs a key of its own", other, key.name)
		}
		seen[key.sum] = key.name
	}
	return nil
}

// find returns the caller that a secret belongs to, or nil. It takes the same time
// whichever key matches.
func (a *Authenticator) find(secret string) *Caller {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	callers := *a.callers.Load()
	for i, c := range callers {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], c.sum[:]), i, found)
	}
	if found < 0 {
		return nil
	}
	return callers[found]
}

// bearer returns the secret in the Authorization headers of a call, or a
// *[broker.Error].
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

// Authenticate returns the caller to whom a call belongs. values are the call's
// Authorization headers; peer returns its address and is called only if that is needed.
// The error is for the caller.
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

// SignIn returns the caller with the name and the secret, for somebody at the address peer. A failure
// counts like one of [Authenticator.Authenticate], and so does a name that isn't the key's.
func (a *Authenticator) SignIn(name, secret, peer string) (*Caller, error) {
	c := a.find(secret)
	if c == nil || c.name != name {
		return nil, a.failures.note(peer, signInFailed())
	}
	if c.guessable {
		return c, a.failures.check(peer)
	}
	return c, nil
}

// Resume returns the caller with the name for whoever has the proof of its key for a digest; see
// [Key.Proof]. A failure counts as one of [Authenticator.SignIn].
func (a *Authenticator) Resume(name string, digest, proof []byte, peer string) (*Caller, error) {
	for _, c := range *a.callers.Load() {
		if c.name == name && hmac.Equal(c.Proof(digest), proof) {
			return c, nil
		}
	}
	return nil, a.failures.note(peer, signInFailed())
}

func signInFailed() error {
	return apierror.Unauthenticated(apierror.ReasonAPIKeyInvalid, "the broker doesn't know this API key, name or session: sign in with one of the keys in its configuration and its name")
}

// take counts one call, or one event of a batch or stream, against the rate of the key.
func (c *Caller) take() error {
	if c.rate == nil {
		return nil
	}
	if wait := exceeded(c.rate); wait > 0 {
		return apierror.Exhausted(apierror.ReasonRateLimited, "the API key "+c.name+" calls more often than the rate limit allows; slow down, or try again in a moment", wait)
	}
	return nil
}
