package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"

	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/token"
)

// maxKeys is the most keys that a document may have. Issuers have two or three.
const maxKeys = 64

// Parse returns the keys of a document that can verify tokens. Tokens with an "iss" other than
// issuer are refused, unless issuer is empty. Documents may have keys for other purposes: skipped
// says why each of those isn't used.
func Parse(document []byte, issuer string) (keys []*token.PublicKey, skipped []error, err error) {
	var set []json.RawMessage
	if !json.Valid(document) || json.Unmarshal(rawjson.Member(document, "keys"), &set) != nil || set == nil {
		return nil, nil, errors.New(`it is not a key set, which is a JSON object with "keys"`)
	}
	if len(set) > maxKeys {
		return nil, nil, fmt.Errorf("it has %d keys; at most %d are allowed", len(set), maxKeys)
	}
	for i, raw := range set {
		key, err := parseKey(raw, issuer)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("keys[%d]: %w", i, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, skipped, nil
}

func parseKey(raw json.RawMessage, issuer string) (*token.PublicKey, error) {
	if err := rawjson.CheckObject(raw); err != nil {
		return nil, fmt.Errorf("it is not a JSON Web Key: %w", err)
	}
	var said jwkset.JWKMarshal
	if err := json.Unmarshal(withExactNames(raw), &said); err != nil {
		return nil, errors.New("it is not a JSON Web Key")
	}
	switch {
	case said.USE != "" && said.USE != jwkset.UseSig:
		return nil, errors.New("it is not for signatures (use)")
	case said.KEYOPS != nil && !slices.Contains(said.KEYOPS, jwkset.KeyOpsVerify):
		return nil, errors.New("it is not for verifying signatures (key_ops)")
	case said.D != "" || said.K != "":
		return nil, errors.New("it is a secret or private key, which must not be published")
	}
	key, err := jwkset.NewJWKFromMarshal(said, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, errors.New("it is malformed, or of a kind that is not supported")
	}
	return token.NewPublicKey(key.Key(), said.KID, issuer, string(said.ALG))
}

// parameters are the parameters of a key that are read, by their exact names. Certificates (x5c,
// x5u) are ignored.
var parameters = [...]string{"kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e", "d", "k"}

// withExactNames returns a key with only the parameters that are read. The library matches names
// case-insensitively: "ALG" would count as "alg".
func withExactNames(key json.RawMessage) json.RawMessage {
	exact := make(map[string]json.RawMessage, len(parameters))
	for _, name := range parameters {
		if value := rawjson.Member(key, name); value != nil {
			exact[name] = value
		}
	}
	text, _ := json.Marshal(exact) // it was decoded from JSON
	return text
}
