package token

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Options configures a [Keyring]. At least one key, public key or source is
// needed.
type Options struct {
	// Keys holds the secrets: the first signs, all verify. Without any, nothing
	// can be issued.
	Keys []Key
	// PublicKeys check tokens that were made elsewhere.
	PublicKeys []*PublicKey
	// Sources have more of them, which change.
	Sources []Source
	// UserClaim is the claim that names the user; empty means "sub".
	UserClaim string
	// Issuers are whose tokens ("iss") are accepted; none means anybody's who
	// has a key. A public key with an issuer of its own is for that one instead.
	// Tokens that are issued here say the first.
	Issuers []string
	// Audiences are for whom tokens may be ("aud"); none means anybody. Tokens
	// that are issued here say the first.
	Audiences []string
	// MaxBytes bounds a token, whoever has made it; zero means [DefaultMaxBytes].
	MaxBytes int
	// AllowShortSecrets accepts secrets of less than [MinSecretBytes], for
	// development.
	AllowShortSecrets bool
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Keyring makes and checks tokens. Nothing of it changes but what is revoked and
// which keys its sources have; it may be used concurrently.
type Keyring struct {
	// Static.
	keys      []Key
	public    []*PublicKey
	sources   []Source
	userClaim string
	maxBytes  int
	issuers   []string
	audiences []string
	now       func() time.Time
	parser    *jwt.Parser

	seen    *seenTokens // nil without public keys: checking a secret costs little
	revoked *Revocations
}

// NewKeyring checks the options. Its errors never contain a secret.
func NewKeyring(o Options) (*Keyring, error) {
	if len(o.Keys)+len(o.PublicKeys)+len(o.Sources) == 0 {
		return nil, errors.New("there is no secret to sign tokens with, and no public key to check them with")
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
		parser:    jwt.NewParser(jwt.WithJSONNumber(), jwt.WithStrictDecoding()),
	}
	if ring.now == nil {
		ring.now = time.Now
	}
	if len(o.PublicKeys)+len(o.Sources) > 0 {
		ring.seen = newSeenTokens(cacheBytes)
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

// maxPublicKeys bounds how often the signature of one token is checked.
const maxPublicKeys = 16

func (o *Options) checkPublicKeys() error {
	if len(o.PublicKeys) > maxPublicKeys {
		return fmt.Errorf("there are %d public keys, at most %d are tried", len(o.PublicKeys), maxPublicKeys)
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

// Now is the time by the clock that tokens begin and end by.
func (r *Keyring) Now() time.Time { return r.now() }

// MaxBytes is how long a token may be.
func (r *Keyring) MaxBytes() int { return r.maxBytes }

// Issues reports whether the keyring can issue tokens.
func (r *Keyring) Issues() bool { return len(r.keys) > 0 }

// Revocations returns what the keyring refuses although it is signed and hasn't
// expired.
func (r *Keyring) Revocations() *Revocations { return r.revoked }
