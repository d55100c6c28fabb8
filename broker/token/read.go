package token

import (
	"encoding/json"
	"math"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/rawjson"
)

// maxNameBytes is how long what can be revoked by its name may be.
const maxNameBytes = 255

// read takes from a token's claims what counts here.
func (r *Keyring) read(values jwt.MapClaims) (Claims, error) {
	var c Claims
	var err error
	if c.User, err = readName(values, r.userClaim); err != nil {
		return c, err
	}
	if c.User == "" {
		return c, invalid("the token has no claim %q that names the user", r.userClaim)
	}
	// A token whose id couldn't be named to revoke it would only seem to have one.
	if c.ID, err = readName(values, "jti"); err != nil {
		return c, err
	}
	if c.notBefore, c.IssuedAt, c.ExpiresAt, err = readTimes(values); err != nil {
		return c, err
	}
	if value, ok := values[grantClaim]; ok {
		c.Scoped = true
		c.Grant, err = readGrant(value)
	}
	return c, err
}

// readName reads a claim that names somebody or something: text, or a number,
// as ids in databases often are. It is empty if the claim isn't there.
func readName(values jwt.MapClaims, claim string) (string, error) {
	value := values[claim]
	if value == nil {
		return "", nil
	}
	name, ok := nameOf(value)
	if !ok || len(name) > maxNameBytes || !printable(name) {
		return "", invalid("the claim %q must be text of 1 to %d bytes without control characters, or a number", claim, maxNameBytes)
	}
	return name, nil
}

// nameOf returns the text of a string or a number.
func nameOf(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return rawjson.NumberText(v.String())
	}
	return "", false
}

// readGrant reads the claim that holds a [Grant]. Names of members match
// exactly: package json would take others that look alike. Null is nothing.
func readGrant(value any) (Grant, error) {
	var g Grant
	if value == nil {
		return g, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return g, invalid("the claim %q is not an object", grantClaim)
	}
	for _, list := range []struct {
		name string
		into *[]string
	}{{"namespaces", &g.Namespaces}, {"rooms", &g.Rooms}, {"join", &g.Join}, {"publish", &g.Publish}} {
		var err error
		if *list.into, err = readNames(list.name, members[list.name]); err != nil {
			return g, err
		}
	}
	switch broadcast := members["broadcast"].(type) {
	case nil:
	case bool:
		g.Broadcast = broadcast
	default:
		return g, invalid("in the claim %q, \"broadcast\" is neither true nor false", grantClaim)
	}
	if data := members["data"]; data != nil {
		g.Data, _ = json.Marshal(data) // it was JSON
	}
	return g, nil
}

func readNames(field string, value any) ([]string, error) {
	if value == nil {
		return nil, nil
	}
	wrong := invalid("in the claim %q, %q is not a list of texts", grantClaim, field)
	list, ok := value.([]any)
	if !ok {
		return nil, wrong
	}
	names := make([]string, len(list))
	for i, entry := range list {
		if names[i], ok = nameOf(entry); !ok {
			return nil, wrong
		}
	}
	return names, nil
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
