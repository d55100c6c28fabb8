package token

import (
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
