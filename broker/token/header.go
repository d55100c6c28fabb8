package token

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// header is what counts of a token's: by what it claims to be signed. Keys that
// it brings along, or says where to get (jwk, x5c, jku, x5u), are never looked
// at.
type header struct {
	algorithm, keyID string
}

func headerOf(t *jwt.Token) (header, *Refusal) {
	if _, ok := t.Header["crit"]; ok {
		return header{}, invalid("the token's header demands extensions (crit) that are not known here")
	}
	if kind, _ := t.Header["cty"].(string); strings.EqualFold(kind, "JWT") {
		return header{}, invalid("the token holds another token (cty); send that one")
	}
	id, ok := t.Header["kid"].(string)
	if _, there := t.Header["kid"]; there && !ok {
		return header{}, invalid("the token's key id (kid) is no text")
	}
	return header{algorithm: t.Method.Alg(), keyID: id}, nil
}

// isOneObject reports whether text is one JSON object in which nothing is said
// twice. Programs differ in which of two they take, and what one of them has
// checked another would then not see.
func isOneObject(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	// The names that were seen in each object around here; nil for a list.
	around := []map[string]bool{{}}
	for len(around) > 0 {
		names := around[len(around)-1]
		next, err := d.Token()
		if name, isText := next.(string); err == nil && names != nil && isText {
			if names[name] {
				return false
			}
			names[name] = true
			next, err = d.Token() // its value
		}
		switch {
		case err != nil:
			return false
		case next == json.Delim('{'):
			around = append(around, map[string]bool{})
		case next == json.Delim('['):
			around = append(around, nil)
		case next == json.Delim('}'), next == json.Delim(']'):
			around = around[:len(around)-1]
		}
	}
	_, err := d.Token()
	return err == io.EOF
}
