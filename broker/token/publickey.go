package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Bounds of RSA keys: shorter ones can be broken, longer ones take too long to verify with.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// PublicKey verifies tokens issued elsewhere, for a single algorithm. It is immutable and may be
// used concurrently.
type PublicKey struct {
	// Static.
	id     string
	issuer string
	method jwt.SigningMethod
	key    crypto.PublicKey
}

// NewPublicKey returns a key for tokens whose "kid" is id or is missing; with an empty id, for all
// tokens. Tokens with an "iss" other than issuer are refused, unless issuer is empty. algorithm is
// RS256 (the default) or PS256 for RSA keys, ES256 for P-256, and EdDSA for Ed25519. Errors say
// what is wrong with the key and which keys are supported.
func NewPublicKey(key crypto.PublicKey, id, issuer, algorithm string) (*PublicKey, error) {
	var methods []jwt.SigningMethod
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return nil, fmt.Errorf("an RSA key of %d bits; it must have %d to %d: openssl genrsa 3072", n, minRSABits, maxRSABits)
		}
		methods = []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS256}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("a key on the curve %s; only P-256 (ES256) is supported: openssl ecparam -genkey -name prime256v1", k.Curve.Params().Name)
		}
		methods = []jwt.SigningMethod{jwt.SigningMethodES256}
	case ed25519.PublicKey:
		methods = []jwt.SigningMethod{jwt.SigningMethodEdDSA}
	default:
		return nil, fmt.Errorf("a key of the type %s; RSA (RS256), P-256 (ES256) and Ed25519 (EdDSA) are supported", strings.TrimPrefix(fmt.Sprintf("%T", key), "*"))
	}
	for _, method := range methods {
		if algorithm == "" || algorithm == method.Alg() {
			return &PublicKey{id: id, issuer: issuer, method: method, key: key}, nil
		}
	}
	return nil, fmt.Errorf("a key for the algorithm %.20q, which isn't supported with keys of this kind", algorithm)
}

// ID returns the "kid" of the tokens that the key verifies; empty for any.
func (k *PublicKey) ID() string { return k.id }

// Equal reports whether both keys verify the same tokens.
func (k *PublicKey) Equal(other *PublicKey) bool {
	same, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && same.Equal(other.key) && k.method == other.method && k.id == other.id && k.issuer == other.issuer
}

// serves reports whether the key may have signed a token with this header.
func (k *PublicKey) serves(h header) bool {
	return k.method.Alg() == h.algorithm && (h.keyID == "" || k.id == "" || h.keyID == k.id)
}

var errSeveralKeys = errors.New("it has several keys; give one file for each, as KID=FILE if tokens name them")

// ParsePublicKey parses a public key or a certificate in PEM. Only the key of a certificate counts,
// not its dates or issuer. Errors say what is supported and contain no part of the text.
func ParsePublicKey(text []byte, id string) (*PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New(`it is not PEM, which begins with "-----BEGIN PUBLIC KEY-----"`)
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, errors.New("it is a private key, which only the issuer should have; give the public key (openssl pkey -pubout)")
		}
		return nil, fmt.Errorf("it is %.40q; a public key or a certificate is needed", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("its %s can't be read (%w); RSA, P-256 and Ed25519 are supported", strings.ToLower(block.Type), err)
	}
	// A certificate is often followed by those of its authorities.
	if next, _ := pem.Decode(rest); next != nil && block.Type != "CERTIFICATE" {
		return nil, errSeveralKeys
	}
	if id != "" && !keyID.MatchString(id) {
		return nil, errors.New(`a key's id may have only letters, digits, "_", "." and "-"`)
	}
	k, err := NewPublicKey(key, id, "", "")
	if err != nil {
		return nil, fmt.Errorf("it is %w", err)
	}
	return k, nil
}

// isPEM reports whether a secret is the text of a key or certificate.
func isPEM(secret []byte) bool { return bytes.Contains(secret, []byte("-----BEGIN ")) }
