package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/room"
)

// maxKeyName bounds the names of keys, which are part of every log line of a call.
const maxKeyName = 64

// minGuessless is the length of a key, in characters, from which on guessing it is
// hopeless, even if a person made it up.
const minGuessless = 16

// hashPrefix marks a key that the configuration contains only as a hash.
const hashPrefix = "sha256:"

// Key is an API key. It is immutable and holds a hash of the secret, so that printing a
// Key reveals nothing. No secret matches the zero Key.
//
// The hash is a plain SHA-256. A slow hash, as for passwords, would make short secrets
// harder to guess from a stolen configuration, but it would cost each call milliseconds
// and do nothing for a secret of 256 random bits.
type Key struct {
	name      string
	sum       [sha256.Size]byte
	grants    grants
	guessable bool // it is short
}

// NewKey makes a secret of 256 random bits and returns it together with its hash in the
// form of the configuration, "sha256:…".
func NewKey() (secret, hashed string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	secret = "sala_" + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	return secret, hashPrefix + hex.EncodeToString(sum[:])
}

// minPadded is the length from which on a single "=" at the end of a text counts as the
// padding of Base64.
const minPadded = 16

// KeyParts are the parts of an API key in the configuration. They hold the secret, so
// don't print them.
type KeyParts struct {
	// Name is empty for a bare key.
	Name string
	// Secret is what callers send; empty if it is missing, or if Hashed.
	Secret string
	// Hash is the SHA-256 of what callers send, in hexadecimal digits, if Hashed.
	Hash   string
	Hashed bool
	// Scopes is the text of the list of scopes, if Limited.
	Scopes  string
	Limited bool
}

// SplitKey splits "key", "name=key" or "name=key:scope,scope". A named key may be given
// as "sha256:" and its hash. A "=" at the very end is the Base64 padding of a bare key,
// unless the text before it is a name and not Base64: in "name=" somebody forgot the
// key. SplitKey doesn't check the parts; [ParseKey] does.
func SplitKey(s string) KeyParts {
	name, rest, named := strings.Cut(s, "=")
	forgotten := rest == "" && isKeyName(name) && !isPadded(s)
	if !named || (strings.Trim(rest, "=") == "" && !forgotten) {
		return KeyParts{Secret: s}
	}
	if hashed, ok := strings.CutPrefix(rest, hashPrefix); ok {
		hash, scopes, limited := strings.Cut(hashed, ":")
		return KeyParts{Name: name, Hash: hash, Hashed: true, Scopes: scopes, Limited: limited}
	}
	secret, scopes, limited := strings.Cut(rest, ":")
	return KeyParts{Name: name, Secret: secret, Scopes: scopes, Limited: limited}
}

// isPadded reports whether s is the output of a Base64 encoder, in either alphabet.
// Names that look like it rarely have zero bits at the end.
func isPadded(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	_, urlErr := base64.URLEncoding.Strict().DecodeString(s)
	return len(s) >= minPadded && (err == nil || urlErr == nil)
}

// ParseKey parses an API key of the configuration, in one of the forms of [SplitKey].
// A key without scopes has all of them. The error never contains the key.
func ParseKey(s string) (Key, error) {
	parts := SplitKey(s)
	name, secret := parts.Name, parts.Secret
	switch {
	case secret == s:
		name = "default"
		if strings.Contains(s, ":") {
			return Key{}, errors.New(`an API key has no ":" in it; to limit a key to scopes, give it a name: "name=key:scope,scope"`)
		}
	case !isKeyName(name):
		return Key{}, fmt.Errorf(`the name of an API key, before "=", has 1 to %d letters, digits, "_", "." and "-"`, maxKeyName)
	case secret == "" && !parts.Hashed && !parts.Limited: // the text before "=" might be a key
		return Key{}, errors.New(`the key is empty: nothing follows the name and "="; make one with: sala key new`)
	}
	key := Key{name: name}
	var err error
	if parts.Hashed {
		key.sum, err = parseHash(name, parts.Hash)
	} else {
		key.sum, err = hashSecret(name, secret)
		key.guessable = len(secret) < minGuessless
	}
	if err != nil {
		return Key{}, err
	}
	key.grants = allGrants()
	if parts.Limited {
		if key.grants, err = parseGrants(parts.Scopes); err != nil {
			return Key{}, fmt.Errorf("the API key %q: %w", name, err)
		}
	}
	return key, nil
}

func hashSecret(name, secret string) (sum [sha256.Size]byte, err error) {
	if secret == "" {
		return sum, fmt.Errorf("the API key %q is empty; make one with: sala key new", name)
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
		return sum, fmt.Errorf("the API key %q can't travel in a header: use letters, digits and punctuation, no spaces and no commas", name)
	}
	return sha256.Sum256([]byte(secret)), nil
}

func parseHash(name, hash string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != sha256.Size {
		return sum, fmt.Errorf("the hash of the API key %q has %d hexadecimal digits after sha256:; sala key new prints all of it", name, 2*sha256.Size)
	}
	if [sha256.Size]byte(raw) == sha256.Sum256(nil) {
		return sum, fmt.Errorf("the hash of the API key %q is that of nothing, which is not a key", name)
	}
	return [sha256.Size]byte(raw), nil
}

func isKeyName(s string) bool {
	return s != "" && len(s) <= maxKeyName && !strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return false
		}
		return !strings.ContainsRune("_.-", r)
	})
}

// Name returns the name of the key in logs; "default" for a bare key.
func (k Key) Name() string { return k.name }

// Scopes returns the scopes that the key has, limited or not, in the order of
// [AllScopes]. The slice is the caller's.
func (k Key) Scopes() []Scope { return k.grants.scopes() }

// Areas returns the areas that a scope of the key is limited to; nil for no limit. The slice is the
// caller's.
func (k Key) Areas(scope Scope) []room.Area { return slices.Clone(k.grants[scope]) }

// Limited reports whether a scope is limited to namespaces or rooms.
func (k Key) Limited() bool { return k.grants.limited() }

// Namespaces returns the namespaces that the scopes name, each once. The slice is the
// caller's.
func (k Key) Namespaces() []string { return k.grants.namespaces() }

// SameSecret reports whether both keys have the same secret.
func (k Key) SameSecret(other Key) bool { return k.sum == other.sum }

// equal reports whether both keys have the same secret, name and scopes.
func (k Key) equal(other Key) bool {
	return k.sum == other.sum && k.name == other.name && k.guessable == other.guessable && k.grants.equal(other.grants)
}

// Proof returns the HMAC-SHA256 of a digest, which only who has the same key can compute. It reveals
// nothing about the key.
func (k Key) Proof(digest []byte) []byte {
	mac := hmac.New(sha256.New, k.sum[:])
	mac.Write(digest)
	return mac.Sum(nil)
}

// String returns the name and the scopes, which is all that a Key may show.
func (k Key) String() string { return fmt.Sprintf("Key(%s: %s)", k.name, k.grants) }
