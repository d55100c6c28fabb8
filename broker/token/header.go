package token

import (
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/rawjson"
)

// header says what a token claims to be signed with. Keys that a token carries or refers to (jwk,
// x5c, jku, x5u) are ignored.
type header struct {
	algorithm, keyID string
}

// readHeader reads the first part of a token.
func readHeader(encoded string) (header, *Refusal) {
	text, refusal := decodeObject(encoded)
	if refusal != nil {
		return header{}, refusal
	}
	var h header
	for name, value := range rawjson.Members(text) {
		isString := true
		switch string(name) {
		case "alg":
			h.algorithm, _ = rawjson.String(value)
		case "crit":
			return header{}, invalid("the token's header requires extensions (crit) that are not supported")
		case "cty":
			if kind, _ := rawjson.String(value); strings.EqualFold(kind, "JWT") {
				return header{}, invalid("the token contains another token (cty); send that one")
			}
		case "kid":
			h.keyID, isString = rawjson.String(value)
		}
		if !isString {
			return header{}, invalid("the token's key id (kid) is not a string")
		}
	}
	if jwt.GetSigningMethod(h.algorithm) == nil {
		return header{}, invalid("the token's algorithm (alg) is not supported")
	}
	return h, nil
}
