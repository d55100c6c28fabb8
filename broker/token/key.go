package token

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MinSecretBytes is how long a secret must be: as long as the hash, so that it
// is not the weakest part.
const MinSecretBytes = 32

// Key is a secret, with an id if there are several.
type Key struct {
	// ID is the "kid" that tokens made with the key carry; may be empty.
	ID string
	// Secret is the HMAC secret.
	Secret []byte
}

// String hides the secret, so that a key can't be logged by accident.
func (k Key) String() string { return fmt.Sprintf("Key(%s, %d bytes)", k.ID, len(k.Secret)) }

// GoString hides the secret from %#v.
func (k Key) GoString() string { return k.String() }

var errPEMSecret = errors.New("this is the text of a key or certificate (PEM), not a secret; to check tokens with a public key, set it as one")

var errEmptySecret = errors.New("the secret is empty; make one with: openssl rand -hex 32")

var keyID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// ParseKey reads "kid=secret" or a bare secret. A "=" at the very end belongs
// to the secret, as Base64 pads with it.
func ParseKey(s string) (Key, error) {
	if isPEM([]byte(s)) {
		return Key{}, fmt.Errorf("it is %w", errPEMSecret)
	}
	id, secret, found := strings.Cut(s, "=")
	// One "=" pads Base64 only to a multiple of four; "kid=" is a secret that
	// somebody forgot to set.
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
