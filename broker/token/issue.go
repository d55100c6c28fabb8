package token

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// grantClaim is the claim that holds a [Grant].
const grantClaim = "sala"

// ErrNoSecret says that the keyring can only verify tokens.
var ErrNoSecret = errors.New("there is no secret to sign tokens with")

// Issue returns a signed token for the user that expires after ttl, and its claims. Its error is
// [ErrNoSecret], or says that the grant's data isn't JSON.
func (r *Keyring) Issue(user string, ttl time.Duration, grant Grant) (string, Claims, error) {
	if !r.Issues() {
		return "", Claims{}, ErrNoSecret
	}
	now := r.revoked.issueTime(user)
	claims := Claims{
		User:      user,
		ID:        newID(),
		IssuedAt:  now,
		ExpiresAt: now.Add(ttl).Truncate(time.Second),
		Scoped:    true,
		Grant:     grant,
	}
	values := jwt.MapClaims{
		"jti":      claims.ID,
		"iat":      claims.IssuedAt.Unix(),
		"exp":      claims.ExpiresAt.Unix(),
		grantClaim: grant,
	}
	if len(r.issuers) > 0 {
		values["iss"] = r.issuers[0]
	}
	if len(r.audiences) > 0 {
		values["aud"] = r.audiences[0]
	}
	values[r.userClaim] = user
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, values)
	if id := r.keys[0].ID; id != "" {
		t.Header["kid"] = id
	}
	signed, err := t.SignedString(r.keys[0].Secret)
	return signed, claims, err
}

// newID returns 130 random bits as letters and digits. An id never begins with a dash, which a
// command line would take for a flag.
func newID() string { return rand.Text() }
