package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/salabroker/sala/broker"
)

// Reasons that a call is refused before it reaches a service. They stand in
// google.rpc.ErrorInfo and are part of the public contract.
const (
	ReasonAPIKeyRequired = "API_KEY_REQUIRED"
	ReasonAPIKeyInvalid  = "API_KEY_INVALID" //nolint:gosec // a word for programs, no credential
	ReasonScopeDenied    = "SCOPE_DENIED"
	// ReasonClientCertRequired is of requests over HTTP alone: over gRPC the TLS
	// handshake fails.
	ReasonClientCertRequired = "CLIENT_CERT_REQUIRED"
)

// maxKeyName bounds the names of keys, which stand in every line of the log.
const maxKeyName = 64

// Key is an API key. It holds a hash of the secret, so that printing a Key
// gives nothing away. The zero Key lets nobody in. A Key doesn't change once
// it is made.
type Key struct {
	name   string
	sum    [sha256.Size]byte
	scopes []Scope
}

// maxScopeShown is up to how many characters a word is repeated in an error that
// was given as a scope and is none.
const maxScopeShown = 16

// minPadded is how long text must be for a single "=" at its end to be taken
// for the padding of Base64.
const minPadded = 16

// KeyParts are the parts of an API key as it stands in the configuration. They
// hold the secret: they are not for printing.
type KeyParts struct {
	// Name is empty for a bare key.
	Name string
	// Secret is what callers send; empty if there is none.
	Secret string
	// Scopes is the text of the list of scopes, which is there if Limited.
	Scopes  string
	Limited bool
}

// SplitKey takes "key", "name=key" or "name=key:scope,scope" apart. A "=" at the
// very end belongs to a bare key, as Base64 pads with it, unless what stands
// before it is a name and no Base64: "name=" is a key that was forgotten. The
// parts are not checked; [ParseKey] does that.
func SplitKey(s string) KeyParts {
	name, rest, named := strings.Cut(s, "=")
	forgotten := rest == "" && isKeyName(name) && !isPadded(s)
	if !named || (strings.Trim(rest, "=") == "" && !forgotten) {
		return KeyParts{Secret: s}
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
	case secret == "" && !parts.Limited: // what stands before "=" might be a key
		return Key{}, errors.New(`the key is empty: nothing stands behind the name and "="; make one with: openssl rand -hex 32`)
	}
	if secret == "" {
		return Key{}, fmt.Errorf("the API key %q is empty; make one with: openssl rand -hex 32", name)
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
		return Key{}, fmt.Errorf("the API key %q can't travel in a header: use letters, digits and punctuation, no spaces and no commas", name)
	}
	key := Key{name: name, sum: sha256.Sum256([]byte(secret)), scopes: AllScopes()}
	if parts.Limited {
		scopes, err := parseScopes(parts.Scopes)
		if err != nil {
			return Key{}, fmt.Errorf("the API key %q: %w", name, err)
		}
		key.scopes = scopes
	}
	return key, nil
}

func parseScopes(list string) ([]Scope, error) {
	all := AllScopes()
	var scopes []Scope
	for word := range strings.SplitSeq(list, ",") {
		scope := Scope(strings.TrimSpace(word))
		if !slices.Contains(all, scope) {
			return nil, fmt.Errorf("%s is no scope; there are %s", quoteScope(scope), joinScopes(all))
		}
		scopes = append(scopes, scope)
	}
	return scopes, nil
}

// quoteScope shows what is taken for a scope, unless it may be the rest of a key
// that has a ":" in it.
func quoteScope(scope Scope) string {
	if len(scope) <= maxScopeShown && strings.Trim(string(scope), "abcdefghijklmnopqrstuvwxyz:_-") == "" {
		return strconv.Quote(string(scope))
	}
	return fmt.Sprintf("what has %d characters behind the key and \":\"", len(scope))
}

func joinScopes(scopes []Scope) string {
	words := make([]string, len(scopes))
	for i, scope := range scopes {
		words[i] = string(scope)
	}
	return strings.Join(words, ", ")
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

// Scopes returns what the key may do. The slice is the caller's.
func (k Key) Scopes() []Scope { return slices.Clone(k.scopes) }

// String returns the name and the scopes; the key itself isn't kept.
func (k Key) String() string { return fmt.Sprintf("Key(%s: %s)", k.name, joinScopes(k.scopes)) }

// keyring holds the keys that the server accepts.
type keyring []Key

// newKeyring refuses two entries for one secret, as it would be unclear whose
// scopes count.
func newKeyring(keys []Key) (keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no API key, so nobody could call the control API; set at least one")
	}
	seen := make(map[[sha256.Size]byte]string, len(keys))
	for _, key := range keys {
		if other, ok := seen[key.sum]; ok {
			return nil, fmt.Errorf("the API keys %q and %q are the same; each needs a key of its own", other, key.name)
		}
		seen[key.sum] = key.name
	}
	return slices.Clone(keys), nil
}

// find takes the same time whichever key matches, or none.
func (ks keyring) find(secret string) (Key, bool) {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range ks {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], ks[i].sum[:]), i, found)
	}
	if found < 0 {
		return Key{}, false
	}
	return ks[found], true
}

// authenticate returns the key that came with a call, of which values are the
// Authorization headers, or a *[broker.Error].
func (ks keyring) authenticate(values []string) (Key, error) {
	if len(values) == 0 {
		return Key{}, unauthenticated(ReasonAPIKeyRequired,
			`an API key is needed: send the header "Authorization: Bearer <api key>" (over gRPC: the metadata "authorization")`)
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	secret = strings.TrimSpace(secret)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return Key{}, unauthenticated(ReasonAPIKeyRequired,
			`the Authorization header can't be read: send it once, as "Authorization: Bearer <api key>"`)
	}
	key, ok := ks.find(secret)
	if !ok {
		return Key{}, unauthenticated(ReasonAPIKeyInvalid,
			"the broker doesn't know this API key: send one of those that it was started with (--api-key)")
	}
	return key, nil
}

// authorize returns nil if the key may call the method, or a *[broker.Error].
func (k Key) authorize(method string) error {
	scope, ok := scopeOf(method)
	if !ok {
		return denied("nobody may call %s: it has no scope", method)
	}
	if !slices.Contains(k.scopes, scope) {
		return denied("the API key %q lacks the scope %q, which %s needs; it has: %s", k.name, scope, method, joinScopes(k.scopes))
	}
	return nil
}

func unauthenticated(reason, message string) error {
	return &broker.Error{Code: broker.CodeUnauthenticated, Reason: reason, Message: message}
}

func denied(format string, args ...any) error {
	return &broker.Error{
		Code:    broker.CodePermissionDenied,
		Reason:  ReasonScopeDenied,
		Message: fmt.Sprintf(format, args...),
	}
}
