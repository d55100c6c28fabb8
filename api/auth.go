package api

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

// caller is an API key that the server accepts.
type caller struct {
	// Static.
	Key
	rate *rate.Limiter // nil if it may call as often as it likes

	calls         atomic.Int64 // in flight
	subscriptions atomic.Int64
}

// admit returns an error if the key may not call a method, or not now. It counts
// the call.
func (c *caller) admit(method string) error {
	if err := c.authorize(method); err != nil {
		return err
	}
	return c.take()
}

// keyring holds the keys that the server accepts.
type keyring []*caller

// newKeyring refuses two entries for one secret, as it would be unclear whose
// scopes count. callRate is how often each key may call in a second, 0 for any.
func newKeyring(keys []Key, callRate int) (keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no API key, so nobody could call the control API; set at least one")
	}
	seen := make(map[[sha256.Size]byte]string, len(keys))
	ring := make(keyring, len(keys))
	for i, key := range keys {
		if other, ok := seen[key.sum]; ok {
			return nil, fmt.Errorf("the API keys %q and %q are the same; each needs a key of its own", other, key.name)
		}
		seen[key.sum] = key.name
		ring[i] = &caller{Key: key}
		if callRate > 0 {
			ring[i].rate = rate.NewLimiter(rate.Limit(callRate), callRate)
		}
	}
	return ring, nil
}

// find takes the same time whichever key matches, or none; nil is none.
func (ks keyring) find(secret string) *caller {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range ks {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], ks[i].sum[:]), i, found)
	}
	if found < 0 {
		return nil
	}
	return ks[found]
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

// authenticate returns whose key came with a call, or an error for the caller.
// It asks where the call is from only if that matters. It may be called
// concurrently.
func (s *Server) authenticate(values []string, peer func() string) (*caller, error) {
	secret, err := bearer(values)
	if err != nil {
		return nil, s.failures.note(peer(), err)
	}
	key := s.keys.find(secret)
	if key == nil {
		return nil, s.failures.note(peer(), apierror.Unauthenticated(apierror.ReasonAPIKeyInvalid,
			"the broker doesn't know this API key: send one of the keys in its configuration"))
	}
	if key.guessable {
		return key, s.failures.check(peer())
	}
	return key, nil
}
