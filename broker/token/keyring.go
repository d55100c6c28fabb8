package token

import (
	"errors"
	"fmt"
	"time"
)

// Options configures a [Keyring].
type Options struct {
	// Keys holds the keys: the first signs, all verify.
	Keys []Key
	// UserClaim is the claim that names the user; empty means "sub".
	UserClaim string
	// AllowShortSecrets accepts secrets of less than [MinSecretBytes], for
	// development.
	AllowShortSecrets bool
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Keyring makes and checks tokens. Nothing of it changes but what is revoked; it
// may be used concurrently.
type Keyring struct {
	keys      []Key
	userClaim string
	now       func() time.Time
	revoked   *Revocations
}

// NewKeyring checks the options. Its errors never contain a secret.
func NewKeyring(o Options) (*Keyring, error) {
	if len(o.Keys) == 0 {
		return nil, errors.New("there is no secret to sign tokens with")
	}
	seen := make(map[string]bool)
	for i, k := range o.Keys {
		if len(k.Secret) < MinSecretBytes && !o.AllowShortSecrets {
			return nil, fmt.Errorf("secret %d has %d bytes, at least %d are needed; make one with: openssl rand -hex 32",
				i+1, len(k.Secret), MinSecretBytes)
		}
		if len(k.Secret) == 0 {
			return nil, fmt.Errorf("secret %d is empty", i+1)
		}
		if k.ID != "" && seen[k.ID] {
			return nil, fmt.Errorf("two secrets have the id %q", k.ID)
		}
		seen[k.ID] = true
	}
	ring := &Keyring{keys: o.Keys, userClaim: o.UserClaim, now: o.Now}
	if ring.userClaim == "" {
		ring.userClaim = "sub"
	}
	if ring.now == nil {
		ring.now = time.Now
	}
	ring.revoked = newRevocations(ring.now, maxRevocations)
	return ring, nil
}

// Revocations returns what the keyring refuses although it is signed and hasn't
// expired.
func (r *Keyring) Revocations() *Revocations { return r.revoked }
