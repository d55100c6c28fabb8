package token

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

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

// claimTexts are the claims that a [Keyring] reads, as JSON; nil if the token lacks one. All other
// claims are skipped without being decoded.
type claimTexts struct {
	user, id                   json.RawMessage
	notBefore, issued, expires json.RawMessage
	issuer, audience           json.RawMessage
	grant                      json.RawMessage
}

// claimTexts finds the claims in a token's payload, which [rawjson.CheckObject] has accepted. The
// claim that names the user may be one of the others, too.
func (r *Keyring) claimTexts(payload []byte) claimTexts {
	var t claimTexts
	for name, value := range rawjson.Members(payload) {
		if string(name) == r.userClaim {
			t.user = value
		}
		switch string(name) {
		case "jti":
			t.id = value
		case "nbf":
			t.notBefore = value
		case "iat":
			t.issued = value
		case "exp":
			t.expires = value
		case "iss":
			t.issuer = value
		case "aud":
			t.audience = value
		case grantClaim:
			t.grant = value
		}
	}
	return t
}

// readClaims reads a token's claims, and when it becomes valid ("nbf"); zero if it doesn't say.
func (r *Keyring) readClaims(t claimTexts) (c Claims, notBefore time.Time, err error) {
	if c.User, err = readName(t.user, r.userClaim); err != nil {
		return c, notBefore, err
	}
	if c.User == "" {
		return c, notBefore, invalid("the token has no claim %q that names the user", r.userClaim)
	}
	// A token with an id that the API doesn't accept couldn't be revoked by it.
	if c.ID, err = readName(t.id, "jti"); err != nil {
		return c, notBefore, err
	}
	if notBefore, c.IssuedAt, c.ExpiresAt, err = readTimes(t); err != nil {
		return c, notBefore, err
	}
	if t.grant != nil {
		c.Scoped = true
		c.Grant, err = readGrant(t.grant)
	}
	return c, notBefore, err
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// readName reads a claim that is a name: a string, or a number, as ids in databases often are. It
// is empty if there is no such claim.
func readName(value json.RawMessage, claim string) (string, error) {
	if value == nil || isNull(value) {
		return "", nil
	}
	name, ok := rawjson.Name(value)
	if !ok || len(name) > maxNameBytes || !printable(name) {
		return "", invalid("the claim %q must be a string of 1 to %d bytes without control characters, or a number", claim, maxNameBytes)
	}
	return name, nil
}

// readGrant reads the claim "sala". Names of members match exactly, unlike in encoding/json. A null
// counts as absent.
func readGrant(value json.RawMessage) (Grant, error) {
	var g Grant
	if isNull(value) {
		return g, nil
	}
	if value[0] != '{' {
		return g, invalid("the claim %q is not an object", grantClaim)
	}
	for name, value := range rawjson.Members(value) {
		if isNull(value) {
			continue
		}
		if err := g.read(string(name), value); err != nil {
			return g, err
		}
	}
	return g, nil
}

// read reads the member of the claim "sala" with this name, and ignores those that it doesn't know.
func (g *Grant) read(name string, value json.RawMessage) (err error) {
	switch name {
	case "namespaces":
		g.Namespaces, err = readNames(name, value)
	case "rooms":
		g.Rooms, err = readNames(name, value)
	case "join":
		g.Join, err = readNames(name, value)
	case "publish":
		g.Publish, err = readNames(name, value)
	case "history":
		g.History, err = readNames(name, value)
	case "presence":
		g.Presence, err = readNames(name, value)
	case "broadcast":
		g.Broadcast = string(value) == "true"
		if !g.Broadcast && string(value) != "false" {
			err = invalid("in the claim %q, \"broadcast\" is neither true nor false", grantClaim)
		}
	case "data":
		g.Data, err = canonical(value)
	}
	return err
}

// canonical returns JSON as encoding/json writes it: without spaces, members in order, numbers as
// they were.
func canonical(text json.RawMessage) (json.RawMessage, error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, invalid("in the claim %q, \"data\" can't be read", grantClaim)
	}
	text, _ = json.Marshal(value) // it was decoded from JSON
	return text, nil
}

func readNames(field string, list json.RawMessage) ([]string, error) {
	n := 0
	for range rawjson.Elements(list) {
		n++
	}
	names := make([]string, 0, n)
	ok := list[0] == '['
	for entry := range rawjson.Elements(list) {
		name, isName := rawjson.Name(entry)
		names, ok = append(names, name), ok && isName
	}
	if !ok {
		return nil, invalid("in the claim %q, %q is not a list of strings", grantClaim, field)
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
func readTimes(t claimTexts) (notBefore, issued, expires time.Time, err error) {
	if t.expires == nil {
		err = invalid("the token has no claim \"exp\", so it would never expire")
	}
	if err == nil {
		expires, err = instant(t.expires, "exp")
	}
	if err == nil {
		notBefore, err = instant(t.notBefore, "nbf")
	}
	if err == nil {
		issued, err = instant(t.issued, "iat")
	}
	return notBefore, issued, expires, err
}

// instant reads a NumericDate (RFC 7519, 2). The time is zero if there is no such claim.
func instant(value json.RawMessage, name string) (time.Time, error) {
	if value == nil {
		return time.Time{}, nil
	}
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return time.Time{}, invalid("the claim %q is not a time in seconds", name)
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.Abs(seconds) > 1e11 {
		return time.Time{}, invalid("the claim %q is out of range", name)
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}
