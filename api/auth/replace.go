package auth

import (
	"crypto/sha256"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

// Changes are the names of the keys that [Authenticator.Replace] has changed, each in the order of
// the configuration.
type Changes struct {
	Added []string
	// Rescoped are keys that go on with other scopes or another name, which is their new one.
	Rescoped []string
	Revoked  []string
}

// Replace makes keys those that the server accepts, under the conditions of [New]. A key that stays
// as it is keeps its calls and its rate. The callers of the others end: those of a revoked key with
// UNAUTHENTICATED, and those of a key with other scopes or another name with UNAVAILABLE, so that
// they come back and are checked again. After an error nothing has changed.
func (a *Authenticator) Replace(keys []Key) (Changes, error) {
	if err := checkKeys(keys); err != nil {
		return Changes{}, err
	}
	a.replacing.Lock()
	defer a.replacing.Unlock()
	var changes Changes
	before := make(map[[sha256.Size]byte]*Caller)
	for _, c := range *a.callers.Load() {
		before[c.sum] = c
	}
	callers := make([]*Caller, len(keys))
	after := make(map[[sha256.Size]byte]*Caller, len(keys))
	for i, key := range keys {
		old, known := before[key.sum]
		switch {
		case known && old.equal(key):
			callers[i] = old
		case known:
			callers[i] = a.newCaller(key)
			changes.Rescoped = append(changes.Rescoped, key.name)
		default:
			callers[i] = a.newCaller(key)
			changes.Added = append(changes.Added, key.name)
		}
		after[key.sum] = callers[i]
	}
	for _, c := range *a.callers.Swap(&callers) {
		switch successor := after[c.sum]; successor {
		case c:
		case nil:
			changes.Revoked = append(changes.Revoked, c.name)
			c.end(revoked())
		default:
			c.end(rescoped(c.name))
		}
	}
	return changes, nil
}

func revoked() error {
	return apierror.Unauthenticated(apierror.ReasonAPIKeyInvalid, "this API key has been revoked: it is no longer in the broker's configuration")
}

func rescoped(name string) error {
	return &broker.Error{
		Code:    broker.CodeUnavailable,
		Reason:  apierror.ReasonAPIKeyChanged,
		Message: "the scopes or the name of the API key " + name + " have changed; call again, and the new ones are checked",
	}
}
