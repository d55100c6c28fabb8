package token

import (
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// header says what a token claims to be signed with. Keys that a token carries or refers to (jwk,
// x5c, jku, x5u) are ignored.
type header struct {
	algorithm, keyID string
}

func headerOf(t *jwt.Token) (header, *Refusal) {
	if _, ok := t.Header["crit"]; ok {
		return header{}, invalid("the token's header requires extensions (crit) that are not supported")
	}
	if kind, _ := t.Header["cty"].(string); strings.EqualFold(kind, "JWT") {
		return header{}, invalid("the token contains another token (cty); send that one")
	}
	id, ok := t.Header["kid"].(string)
	if _, there := t.Header["kid"]; there && !ok {
		return header{}, invalid("the token's key id (kid) is not a string")
	}
	return header{algorithm: t.Method.Alg(), keyID: id}, nil
}
