package token

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Source has public keys that change, such as those of an issuer that publishes
// them. It may be used concurrently.
type Source interface {
	// Keys returns those that there are now, a slice that never changes. ok is
	// false as long as there have never been any.
	Keys() (keys []*PublicKey, ok bool)
	// Refresh has the source look for new keys, as a token names one that isn't
	// there. The channel is closed when it has; nil if it has just looked.
	Refresh() <-chan struct{}
}

// missWait is how long a token waits for a source to look for its key.
const missWait = 2 * time.Second

// signer returns the key that has signed t, whose first two parts are text; nil
// for a secret.
func (r *Keyring) signer(t *jwt.Token, h header, text string) (*PublicKey, *Refusal) {
	if h.algorithm == jwt.SigningMethodHS256.Alg() {
		for _, secret := range r.secretsFor(h) {
			if t.Method.Verify(text, t.Signature, secret) == nil {
				return nil, nil
			}
		}
		return nil, r.unsigned()
	}
	if key := verifying(r.publicKeysFor(h), t, text); key != nil {
		return key, nil
	}
	if !r.refreshFor(h) {
		return nil, r.unsigned()
	}
	if key := verifying(r.publicKeysFor(h), t, text); key != nil {
		return key, nil
	}
	for _, s := range r.sources {
		if _, ok := s.Keys(); !ok {
			return nil, &Refusal{
				Reason:  ReasonKeysUnavailable,
				Message: "the keys to check the token with can't be fetched at the moment; connect again in a moment",
			}
		}
	}
	return nil, r.unsigned()
}

func verifying(keys []*PublicKey, t *jwt.Token, text string) *PublicKey {
	for _, k := range keys {
		if k.method.Verify(text, t.Signature, k.key) == nil {
			return k
		}
	}
	return nil
}

// unsigned says by which keys a token should have been signed.
func (r *Keyring) unsigned() *Refusal {
	if len(r.public)+len(r.sources) == 0 {
		return invalid("the token is not signed with HS256 and a secret of this broker")
	}
	return invalid("the token is not signed with a key of this broker, or names another algorithm (alg) or key (kid)")
}

// secretsFor returns the secrets that may have signed a token: the one that it
// names or, if it names none of ours, all of them.
func (r *Keyring) secretsFor(h header) [][]byte {
	all := make([][]byte, 0, len(r.keys))
	for _, k := range r.keys {
		if h.keyID != "" && k.ID == h.keyID {
			return [][]byte{k.Secret}
		}
		all = append(all, k.Secret)
	}
	return all
}

// publicKeysFor returns the public keys that may have signed a token. Of a
// source's, a token that names none means the only one for its algorithm: who
// publishes several has to say which (OpenID Connect Core, 10.1).
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

func serving(keys []*PublicKey, h header) []*PublicKey {
	var found []*PublicKey
	for _, k := range keys {
		if k.serves(h) {
			found = append(found, k)
		}
	}
	return found
}

// refreshFor has the sources look for a key that they may have got meanwhile, and
// waits for it. It reports false if there is none that lacks it.
func (r *Keyring) refreshFor(h header) bool {
	if !isPublic(h.algorithm) {
		return false
	}
	lacking := false
	timeout := time.NewTimer(missWait)
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

// isPublic reports whether there are public keys for the algorithm.
func isPublic(algorithm string) bool {
	switch algorithm {
	case "RS256", "PS256", "ES256", "EdDSA":
		return true
	}
	return false
}
