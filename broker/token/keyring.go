package token

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options configures a [Keyring]. It needs at least one key, public key or source.
type Options struct {
	// Keys are the secrets: the first signs, all verify. Without a secret, the keyring can't issue.
	Keys []Key
	// PublicKeys verify tokens issued elsewhere.
	PublicKeys []*PublicKey
	// Sources have further public keys, which may change.
	Sources []Source
	// UserClaim is the claim that names the user; empty means "sub".
	UserClaim string
	// Issuers are the accepted values of "iss"; none means that any will do. A public key with an
	// issuer of its own accepts that one instead. Tokens issued here carry the first.
	Issuers []string
	// Audiences are the accepted values of "aud"; none means that any will do. Tokens issued here
	// carry the first.
	Audiences []string
	// MaxBytes bounds the length of a token; zero means [DefaultMaxBytes].
	MaxBytes int
	// AllowShortSecrets accepts secrets shorter than [MinSecretBytes], for development.
	AllowShortSecrets bool
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Keyring issues and verifies tokens. Only its revocations and the keys of its sources change. Its
// methods may be called concurrently.
type Keyring struct {
	// Static.
	keys      []Key
	secrets   []*hs256 // one for each key
	public    []*PublicKey
	sources   []Source
	userClaim string
	maxBytes  int
	issuers   []string
	audiences []string
	now       func() time.Time

	verified *cache // nil without public keys: verifying with a secret is cheap
	revoked  *Revocations
}

// Derive returns a key for another purpose from each secret, in their order: none if tokens are only
// verified with public keys. A derived key says nothing about the secret or about other purposes.
func (r *Keyring) Derive(purpose string) (keys [][]byte) {
	for i := range r.keys {
		mac := hmac.New(sha256.New, r.keys[i].Secret)
		mac.Write([]byte(purpose))
		keys = append(keys, mac.Sum(nil))
	}
	return keys
}

// NewKeyring returns a keyring, or says what is wrong with the options. Errors never contain a
// secret.
func NewKeyring(o Options) (*Keyring, error) {
	if len(o.Keys)+len(o.PublicKeys)+len(o.Sources) == 0 {
		return nil, errors.New("there is neither a secret nor a public key to verify tokens with")
	}
	if err := o.checkSecrets(); err != nil {
		return nil, err
	}
	if err := o.checkPublicKeys(); err != nil {
		return nil, err
	}
	if slices.Contains(o.Issuers, "") || slices.Contains(o.Audiences, "") {
		return nil, errors.New("an issuer or an audience is empty")
	}
	ring := &Keyring{
		keys:      o.Keys,
		public:    o.PublicKeys,
		sources:   o.Sources,
		userClaim: cmp.Or(o.UserClaim, "sub"),
		maxBytes:  cmp.Or(o.MaxBytes, DefaultMaxBytes),
		issuers:   o.Issuers,
		audiences: o.Audiences,
		now:       o.Now,
	}
	for _, k := range o.Keys {
		ring.secrets = append(ring.secrets, newHS256(k))
	}
	if ring.now == nil {
		ring.now = time.Now
	}
	if len(o.PublicKeys)+len(o.Sources) > 0 {
		ring.verified = newCache(cacheBytes)
	}
	ring.revoked = newRevocations(ring.now, maxRevocations)
	return ring, nil
}

func (o *Options) checkSecrets() error {
	seen := make(map[string]bool)
	for i, k := range o.Keys {
		switch {
		case len(k.Secret) == 0:
			return fmt.Errorf("secret %d is empty", i+1)
		case isPEM(k.Secret):
			return fmt.Errorf("secret %d is %w", i+1, errPEMSecret)
		case len(k.Secret) < MinSecretBytes && !o.AllowShortSecrets:
			return fmt.Errorf("secret %d has %d bytes, at least %d are needed; make one with: openssl rand -hex 32",
				i+1, len(k.Secret), MinSecretBytes)
		case k.ID != "" && seen[k.ID]:
			return fmt.Errorf("two secrets have the id %q", k.ID)
		}
		seen[k.ID] = true
	}
	return nil
}

// maxPublicKeys bounds how many keys are tried for one token.
const maxPublicKeys = 16

func (o *Options) checkPublicKeys() error {
	if len(o.PublicKeys) > maxPublicKeys {
		return fmt.Errorf("there are %d public keys; at most %d are allowed", len(o.PublicKeys), maxPublicKeys)
	}
	seen := make(map[string]bool)
	for _, k := range o.PublicKeys {
		if k.id != "" && seen[k.id] {
			return fmt.Errorf("two public keys have the id %q", k.id)
		}
		seen[k.id] = true
	}
	return nil
}

// Now returns the time of the keyring's clock.
func (r *Keyring) Now() time.Time { return r.now() }

// MaxBytes returns the greatest length of a token.
func (r *Keyring) MaxBytes() int { return r.maxBytes }

// Issues reports whether the keyring can issue tokens.
func (r *Keyring) Issues() bool { return len(r.keys) > 0 }

// Revocations returns the keyring's revocations.
func (r *Keyring) Revocations() *Revocations { return r.revoked }
