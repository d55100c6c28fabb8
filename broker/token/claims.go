package token

import (
	"encoding/json"
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/rawjson"
)

// Claims is what a token says.
type Claims struct {
	// User is who the client is.
	User string
	// ID is the token's id ("jti"); empty if it has none.
	ID string
	// IssuedAt is when it was issued ("iat"); zero if it doesn't say.
	IssuedAt time.Time
	// ExpiresAt is when it expires ("exp").
	ExpiresAt time.Time
	// Scoped is true if the token has the claim "sala". Tokens issued elsewhere usually don't.
	Scoped bool
	Grant

	notBefore int64 // when it becomes valid ("nbf"), in milliseconds since 1970; 0 if it doesn't say
}

// Grant is what a token allows. It is the value of the claim "sala".
type Grant struct {
	// Namespaces are those that the client may connect to; empty means all.
	Namespaces []string `json:"namespaces,omitempty"`
	// Rooms are the rooms that the client joins when it connects.
	Rooms []string `json:"rooms,omitempty"`
	// Join are patterns of the rooms that the client may join.
	Join []string `json:"join,omitempty"`
	// Publish are patterns of the rooms that the client may relay to.
	Publish []string `json:"publish,omitempty"`
	// History are patterns of the rooms whose history the client may read.
	History []string `json:"history,omitempty"`
	// Presence are patterns of the rooms in which the client may see who is there.
	Presence []string `json:"presence,omitempty"`
	// Broadcast allows the client to relay to everyone.
	Broadcast bool `json:"broadcast,omitempty"`
	// Data is any JSON. Backends get it with the client's events.
	Data json.RawMessage `json:"data,omitempty"`
}

// maxNameBytes is the greatest length of a user and of a token's id.
const maxNameBytes = 255

// readClaims reads a token's claims.
func (r *Keyring) readClaims(values jwt.MapClaims) (Claims, error) {
	var c Claims
	var err error
	if c.User, err = readName(values, r.userClaim); err != nil {
		return c, err
	}
	if c.User == "" {
		return c, invalid("the token has no claim %q that names the user", r.userClaim)
	}
	// A token with an id that the API doesn't accept couldn't be revoked by it.
	if c.ID, err = readName(values, "jti"); err != nil {
		return c, err
	}
	notBefore, issued, expires, err := readTimes(values)
	if err != nil {
		return c, err
	}
	c.IssuedAt, c.ExpiresAt = issued, expires
	if !notBefore.IsZero() {
		c.notBefore = notBefore.UnixMilli()
	}
	if value, ok := values[grantClaim]; ok {
		c.Scoped = true
		c.Grant, err = readGrant(value)
	}
	return c, err
}

// readName reads a claim that is a name: a string, or a number, as ids in databases often are. It
// is empty if there is no such claim.
func readName(values jwt.MapClaims, claim string) (string, error) {
	value := values[claim]
	if value == nil {
		return "", nil
	}
	name, ok := nameOf(value)
	if !ok || len(name) > maxNameBytes || !printable(name) {
		return "", invalid("the claim %q must be a string of 1 to %d bytes without control characters, or a number", claim, maxNameBytes)
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

// readGrant reads the claim "sala". Names of members match exactly, unlike in encoding/json. A null
// counts as absent.
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
	}{{"namespaces", &g.Namespaces}, {"rooms", &g.Rooms}, {"join", &g.Join}, {"publish", &g.Publish}, {"history", &g.History}, {"presence", &g.Presence}} {
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
		g.Data, _ = json.Marshal(data) // it was decoded from JSON
	}
	return g, nil
}

func readNames(field string, value any) ([]string, error) {
	if value == nil {
		return nil, nil
	}
	wrong := invalid("in the claim %q, %q is not a list of strings", grantClaim, field)
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

// readTimes reads "nbf", "iat" and "exp". The last is required.
func readTimes(values jwt.MapClaims) (notBefore, issued, expires time.Time, err error) {
	var ok bool
	if expires, ok, err = instant(values, "exp"); err == nil && !ok {
		err = invalid("the token has no claim \"exp\", so it would never expire")
	}
	if err == nil {
		notBefore, _, err = instant(values, "nbf")
	}
	if err == nil {
		issued, _, err = instant(values, "iat")
	}
	return notBefore, issued, expires, err
}

// instant reads a NumericDate (RFC 7519, 2). ok is false if there is no such claim.
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
