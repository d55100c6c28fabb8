package token

import (
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Source has public keys that may change, such as those that an issuer publishes. Its methods may
// be called concurrently.
type Source interface {
	// Keys returns the current keys. The slice never changes. ok is false until the source has had
	// keys for the first time.
	Keys() (keys []*PublicKey, ok bool)
	// Refresh asks the source to look for new keys, because a token names one that it doesn't have.
	// The channel closes when it has looked. The channel is nil if it has looked just before.
	Refresh() <-chan struct{}
}

// refreshWait is how long Verify waits for sources to look for a token's key.
const refreshWait = 2 * time.Second

// signerOf returns the public key that signed t, or nil if it was a secret.
func (r *Keyring) signerOf(t compact, h header) (*PublicKey, *Refusal) {
	if h.algorithm == jwt.SigningMethodHS256.Alg() {
		if !r.signedBySecret(t, h) {
			return nil, r.badSignature()
		}
		return nil, nil
	}
	if key := verifying(r.publicKeysFor(h), t); key != nil {
		return key, nil
	}
	if !r.refreshFor(h) {
		return nil, r.badSignature()
	}
	if key := verifying(r.publicKeysFor(h), t); key != nil {
		return key, nil
	}
	for _, s := range r.sources {
		if _, ok := s.Keys(); !ok {
			return nil, &Refusal{
				Reason:  ReasonKeysUnavailable,
				Message: "the keys to verify the token with can't be fetched at the moment; try again soon",
			}
		}
	}
	return nil, r.badSignature()
}

// verifying returns the key that verifies t's signature, or nil.
func verifying(keys []*PublicKey, t compact) *PublicKey {
	for _, k := range keys {
		if k.method.Verify(t.signed, t.signature, k.key) == nil {
			return k
		}
	}
	return nil
}

// badSignature says which keys a token must be signed with.
func (r *Keyring) badSignature() *Refusal {
	if len(r.public)+len(r.sources) == 0 {
		return invalid("the token is not signed with HS256 and a secret of this broker")
	}
	return invalid("the token is not signed with a key of this broker, or names another algorithm (alg) or key (kid)")
}

// signedBySecret reports whether one of the secrets signed t: the one with its key id or, if there
// is none, any.
func (r *Keyring) signedBySecret(t compact, h header) bool {
	for _, s := range r.secrets {
		if h.keyID != "" && s.id == h.keyID {
			return s.verify(t.signed, t.signature)
		}
	}
	return slices.ContainsFunc(r.secrets, func(s *hs256) bool { return s.verify(t.signed, t.signature) })
}

// publicKeysFor returns the public keys that may have signed a token. A token without a key id
// matches the keys of a source only if a single one is for its algorithm: an issuer with several
// must name one (OpenID Connect Core, 10.1).
func (r *Keyring) publicKeysFor(h header) []*PublicKey {
	found := serving(r.public, h)
	for _, s := range r.sources {
		keys, _ := s.Keys()
		if of := serving(keys, h); h.keyID != "" || len(of) == 1 {
			found = append(found, of...)
		}
	}
	return found
}

// serving returns those of the keys that may have signed a token with header h.
func serving(keys []*PublicKey, h header) []*PublicKey {
	var found []*PublicKey
	for _, k := range keys {
		if k.serves(h) {
			found = append(found, k)
		}
	}
	return found
}

// refreshFor asks the sources that lack the token's key to look for it, and waits for them. It
// reports false if no source lacks it.
func (r *Keyring) refreshFor(h header) bool {
	if !isPublic(h.algorithm) {
		return false
	}
	lacking := false
	timeout := time.NewTimer(refreshWait)
	defer timeout.Stop()
	for _, s := range r.sources {
		keys, ok := s.Keys()
		if ok && (h.keyID == "" || len(serving(keys, h)) > 0) {
			continue
		}
		lacking = true
		looked := s.Refresh()
		if looked == nil {
			continue
		}
		select {
		case <-looked:
		case <-timeout.C:
			return true
		}
	}
	return lacking
}

// isPublic reports whether the algorithm is one of public keys.
func isPublic(algorithm string) bool {
	switch algorithm {
	case "RS256", "PS256", "ES256", "EdDSA":
		return true
	}
	return false
}
