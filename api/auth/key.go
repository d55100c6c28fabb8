package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// maxKeyName bounds the names of keys, which stand in every line of the log.
const maxKeyName = 64

// minGuessless is how long a key has to be, in characters, so that guessing it
// is hopeless whoever has made it up.
const minGuessless = 16

// hashPrefix is what a key begins with of which only the hash is given.
const hashPrefix = "sha256:"

// Key is an API key. It holds a hash of the secret, so that printing a Key
// gives nothing away. The hash is a plain SHA-256: a slow one, as for passwords, would make
// short secrets harder to guess from a stolen configuration, cost each call milliseconds, and
// do nothing for a secret of 256 random bits. The zero Key lets nobody in. A Key doesn't change
// once it is made.
type Key struct {
	name      string
	sum       [sha256.Size]byte
	grants    grants
	guessable bool // it is short
}

// NewKey makes a secret of 256 random bits, and returns it with what the
// configuration needs to know of it, "sha256:…".
func NewKey() (secret, hashed string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	secret = "sala_" + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	return secret, hashPrefix + hex.EncodeToString(sum[:])
}

// minPadded is how long text must be for a single "=" at its end to be taken
// for the padding of Base64.
const minPadded = 16

// KeyParts are the parts of an API key as it stands in the configuration. They
// hold the secret: they are not for printing.
type KeyParts struct {
	// Name is empty for a bare key.
	Name string
	// Secret is what callers send; empty if there is none, or if Hashed.
	Secret string
	// Hash is the SHA-256 of what callers send, in hexadecimal digits, if Hashed.
	Hash   string
	Hashed bool
	// Scopes is the text of the list of scopes, which is there if Limited.
	Scopes  string
	Limited bool
}

// SplitKey takes "key", "name=key" or "name=key:scope,scope" apart, where
// "sha256:" and a hash may stand for the key of a name. A "=" at the
// very end belongs to a bare key, as Base64 pads with it, unless what stands
// before it is a name and no Base64: "name=" is a key that was forgotten. The
// parts are not checked; [ParseKey] does that.
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

// isPadded reports whether s is what a Base64 encoder writes, of either
// alphabet. Names that happen to be rarely have the zero bits at the end.
func isPadded(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	_, urlErr := base64.URLEncoding.Strict().DecodeString(s)
	return len(s) >= minPadded && (err == nil || urlErr == nil)
}

// ParseKey reads an API key as it stands in the configuration, in one of the
// forms of [SplitKey]. Without scopes it has all of them. The error never
// contains the key.
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
	case secret == "" && !parts.Hashed && !parts.Limited: // what stands before "=" might be a key
		return Key{}, errors.New(`the key is empty: nothing stands behind the name and "="; make one with: sala key new`)
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
		return sum, fmt.Errorf("the hash of the API key %q has %d hexadecimal digits behind sha256:; sala key new prints the whole", name, 2*sha256.Size)
	}
	if [sha256.Size]byte(raw) == sha256.Sum256(nil) {
		return sum, fmt.Errorf("the hash of the API key %q is that of nothing, which is no key", name)
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

// Name is what the key is called in logs; "default" if it was given bare.
func (k Key) Name() string { return k.name }

// Scopes returns what the key may do, somewhere at least, in the order of
// [AllScopes]. The slice is the caller's.
func (k Key) Scopes() []Scope { return k.grants.scopes() }

// Limited reports whether one of the scopes holds for some namespaces or rooms
// alone.
func (k Key) Limited() bool { return k.grants.limited() }

// Namespaces returns those that the scopes name, each once. The slice is the
// caller's.
func (k Key) Namespaces() []string { return k.grants.namespaces() }

// SameSecret reports whether callers send the same for both keys.
func (k Key) SameSecret(other Key) bool { return k.sum == other.sum }

// String returns the name and the scopes; the key itself isn't kept.
func (k Key) String() string { return fmt.Sprintf("Key(%s: %s)", k.name, k.grants) }
