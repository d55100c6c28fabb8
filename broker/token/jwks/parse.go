package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"

	"github.com/salabroker/sala/broker/token"
)

// maxKeys is how many keys a document may hold. Issuers have two or three.
const maxKeys = 64

// Parse returns the keys of a document that can check tokens, for those of an
// issuer; empty is any. Others are passed over, since documents may hold keys
// for anything: skipped says what was wrong with each.
func Parse(document []byte, issuer string) (keys []*token.PublicKey, skipped []error, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil || set.Keys == nil {
		return nil, nil, errors.New(`it is no key set, a JSON object with "keys"`)
	}
	if len(set.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("it holds %d keys, at most %d are taken", len(set.Keys), maxKeys)
	}
	for i, raw := range set.Keys {
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
	var said jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &said); err != nil {
		return nil, errors.New("it is no JSON Web Key")
	}
	switch {
	case said.USE != "" && said.USE != jwkset.UseSig:
		return nil, errors.New("it is not for signatures (use)")
	case said.KEYOPS != nil && !slices.Contains(said.KEYOPS, jwkset.KeyOpsVerify):
		return nil, errors.New("it is not for checking signatures (key_ops)")
	case said.D != "" || said.K != "":
		return nil, errors.New("it is a secret or private key, which nobody should publish")
	}
	// Certificates that come with a key are not looked at, nor fetched.
	said.X5C, said.X5U, said.X5T, said.X5TS256 = nil, "", "", ""
	key, err := jwkset.NewJWKFromMarshal(said, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, errors.New("it can't be read, or is of a kind that is not supported")
	}
	return token.NewPublicKey(key.Key(), said.KID, issuer, string(said.ALG))
}
