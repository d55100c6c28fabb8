package token

import (
	"encoding/json"
	"math"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const maxUserBytes = 255

// read takes from a token's claims what counts here.
func (r *Keyring) read(values jwt.MapClaims) (Claims, error) {
	var c Claims
	switch user := values[r.userClaim].(type) {
	case string:
		c.User = user
	case json.Number: // user ids of databases are often numbers
		c.User = user.String()
	default:
		return c, invalid("the token has no claim %q that names the user", r.userClaim)
	}
	if c.User == "" || len(c.User) > maxUserBytes || !printable(c.User) {
		return c, invalid("the claim %q must be 1 to %d bytes of text", r.userClaim, maxUserBytes)
	}
	var err error
	if c.notBefore, c.IssuedAt, c.ExpiresAt, err = readTimes(values); err != nil {
		return c, err
	}
	c.ID, _ = values["jti"].(string)
	grant, ok := values[grantClaim]
	if !ok {
		return c, nil
	}
	raw, err := json.Marshal(grant)
	if err == nil {
		err = json.Unmarshal(raw, &c.Grant)
	}
	if err != nil {
		return c, invalid("the claim %q is not what this broker writes into it", grantClaim)
	}
	c.Scoped = true
	return c, nil
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// readTimes returns when a token begins to count, was made, and ends.
func readTimes(values jwt.MapClaims) (notBefore, issued, expires time.Time, err error) {
	var ok bool
	if expires, ok, err = instant(values, "exp"); err == nil && !ok {
		err = invalid("the token has no claim \"exp\": it would never end")
	}
	if err == nil {
		notBefore, _, err = instant(values, "nbf")
	}
	if err == nil {
		issued, _, err = instant(values, "iat")
	}
	return notBefore, issued, expires, err
}

// instant reads a NumericDate. ok is false if it isn't there.
func instant(values jwt.MapClaims, name string) (t time.Time, ok bool, err error) {
	value, ok := values[name]
	if !ok {
		return time.Time{}, false, nil
	}
	number, isNumber := value.(json.Number)
	if !isNumber {
		return time.Time{}, false, invalid("the claim %q is not a time in seconds", name)
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > 1e11 {
		return time.Time{}, false, invalid("the claim %q is out of range", name)
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true, nil
}

// checkParties refuses a token that somebody else has made than the key is of, or
// that is for somebody else. key is nil for a secret.
func (r *Keyring) checkParties(values jwt.MapClaims, key *PublicKey) error {
	issuers := r.issuers
	if key != nil && key.issuer != "" {
		issuers = []string{key.issuer}
	}
	if issuer, _ := values["iss"].(string); len(issuers) > 0 && !slices.Contains(issuers, issuer) {
		return invalid("the token is of another issuer (\"iss\") than this broker trusts with its key")
	}
	if len(r.audiences) > 0 && !slices.ContainsFunc(audienceOf(values), func(a string) bool { return slices.Contains(r.audiences, a) }) {
		return invalid("the token is for others (\"aud\") than this broker")
	}
	return nil
}

// audienceOf returns whom a token is for: one or several (RFC 7519, 4.1.3).
func audienceOf(values jwt.MapClaims) []string {
	switch aud := values["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var all []string
		for _, entry := range aud {
			if name, ok := entry.(string); ok {
				all = append(all, name)
			}
		}
		return all
	}
	return nil
}
