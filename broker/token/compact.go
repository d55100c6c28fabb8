package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/salabroker/sala/broker/rawjson"
)

// compact is a token as it is sent (RFC 7515, 7.1): header, payload and signature, with dots in
// between. Nothing in it can be trusted before the signature has been verified.
type compact struct {
	signed          string // header and payload, which the signature covers
	header, payload string // in Base64
	signature       []byte
}

// encoding accepts a single text for the same bytes, so that a token has only one form.
var encoding = base64.RawURLEncoding.Strict()

func notJWT() *Refusal { return invalid("the token is not a JWT") }

// parse takes a token apart.
func parse(raw string) (compact, *Refusal) {
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	// The decoder ignores line breaks.
	if !ok || strings.ContainsAny(raw, "\r\n") {
		return compact{}, notJWT()
	}
	decoded, err := encoding.DecodeString(signature)
	if err != nil {
		return compact{}, notJWT()
	}
	return compact{
		signed: raw[:len(header)+len(".")+len(payload)],
		header: header, payload: payload, signature: decoded,
	}, nil
}

// decodeObject returns the JSON object that a part of a token encodes. No two members of an object
// in it have the same name.
func decodeObject(part string) ([]byte, *Refusal) {
	text, err := encoding.DecodeString(part)
	switch {
	case err != nil:
		return nil, notJWT()
	case rawjson.CheckObject(text) == nil:
		return text, nil
	case !json.Valid(text):
		return nil, notJWT()
	default:
		return nil, invalid("the token has the same name twice, or is more than one JSON object")
	}
}
