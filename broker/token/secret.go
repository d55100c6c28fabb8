package token

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MinSecretBytes is the least length of a secret: that of the hash (RFC 7518, 3.2).
const MinSecretBytes = 32

// Key is a secret and its optional id.
type Key struct {
	// ID is the "kid" of the tokens signed with the key; may be empty.
	ID string
	// Secret is the HMAC secret.
	Secret []byte
}

// String hides the secret, so that a key can't be logged by accident.
func (k Key) String() string { return fmt.Sprintf("Key(%s, %d bytes)", k.ID, len(k.Secret)) }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return k.String() }

var errPEMSecret = errors.New("the text of a key or certificate (PEM), not a secret; to verify tokens with a public key, configure it as a public key")

var errEmptySecret = errors.New("the secret is empty; make one with: openssl rand -hex 32")

var keyID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// ParseKey parses "kid=secret" or a bare secret. A "=" at the very end is padding of a secret in
// Base64 and belongs to it. Errors never contain the secret.
func ParseKey(s string) (Key, error) {
	if isPEM([]byte(s)) {
		return Key{}, fmt.Errorf("it is %w", errPEMSecret)
	}
	id, secret, found := strings.Cut(s, "=")
	// A single "=" pads Base64 only to a multiple of four. Otherwise it is "kid=" without a secret.
	if found && secret == "" && (len(s)%4 != 0 || len(s) < MinSecretBytes) {
		return Key{}, errEmptySecret
	}
	if !found || strings.Trim(secret, "=") == "" {
		id, secret = "", s
	} else if !keyID.MatchString(id) {
		return Key{}, errors.New(`a secret is given bare or as "kid=secret", where kid has only letters, digits, "_", "." and "-"`)
	}
	if secret == "" {
		return Key{}, errEmptySecret
	}
	return Key{ID: id, Secret: []byte(secret)}, nil
}
