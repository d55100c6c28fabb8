// Package pid is about what a client shows to get its socket back: the id of the socket, and a
// secret. Stock clients call both together the pid. It is a credential and must not be logged.
package pid

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
)

const (
	secretBytes = 16
	// separator stands between the parts of a pid.
	separator = "~"
)

// Secret is what nobody but the client and its nodes knows of a session.
type Secret [secretBytes]byte

// SecretFrom returns the secret with these bytes.
func SecretFrom(raw []byte) (s Secret, ok bool) {
	if len(raw) != secretBytes {
		return Secret{}, false
	}
	return Secret(raw), true
}

// Equal reports whether two secrets are the same, in a time that doesn't tell how similar they are.
func (s Secret) Equal(other Secret) bool { return subtle.ConstantTimeCompare(s[:], other[:]) == 1 }

// Format returns the pid of a socket with a session.
func Format(socket string, s Secret) string {
	return socket + separator + base64.RawURLEncoding.EncodeToString(s[:])
}

// Parse returns the parts of a pid. The id of the socket may be any text without a separator.
func Parse(pid string) (socket string, s Secret, ok bool) {
	socket, text, found := strings.Cut(pid, separator)
	if !found || len(text) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return "", Secret{}, false
	}
	n, err := base64.RawURLEncoding.Decode(s[:], []byte(text))
	return socket, s, err == nil && n == secretBytes
}

// Keys make the secrets of sessions. They never change.
type Keys struct {
	keys   [][]byte // secrets are made with the first, and may have been with the others
	shared bool     // other nodes have them, too
}

// NewKeys returns keys that follow from those that all nodes share. If the nodes share none, it
// makes a key that no other node has.
func NewKeys(shared [][]byte) Keys {
	if len(shared) == 0 {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		return Keys{keys: [][]byte{key}}
	}
	k := Keys{shared: true}
	for _, key := range shared {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("sala session secrets"))
		k.keys = append(k.keys, mac.Sum(nil))
	}
	return k
}

// Secret returns the secret of a session. All nodes that share their first key come to the same.
func (k *Keys) Secret(namespace, user, socket string) Secret {
	return secretWith(k.keys[0], namespace, user, socket)
}

func secretWith(key []byte, namespace, user, socket string) (s Secret) {
	mac := hmac.New(sha256.New, key)
	for _, part := range []string{namespace, user, socket} {
		mac.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		mac.Write([]byte{':'})
		mac.Write([]byte(part))
	}
	copy(s[:], mac.Sum(nil))
	return s
}

// Maker says who can have made a secret.
type Maker uint8

// The makers of secrets.
const (
	MadeElsewhere Maker = iota // maybe another node
	MadeHere                   // a node that has the keys
	MadeByNobody               // no node
)

// Maker returns who can have made the secret of a session.
func (k *Keys) Maker(s Secret, namespace, user, socket string) Maker {
	for _, key := range k.keys {
		if s.Equal(secretWith(key, namespace, user, socket)) {
			return MadeHere
		}
	}
	if k.shared {
		return MadeByNobody
	}
	return MadeElsewhere
}
