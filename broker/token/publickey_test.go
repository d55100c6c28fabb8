package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/token"
)

func block(kind string, der []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// certificate wraps a public key. It has expired.
func certificate(p pair) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: start}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.public, p.sign)
	return block("CERTIFICATE", der, err)
}

// secp256k1 is a public key on a curve that isn't supported.
const secp256k1 = `-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE+YYJUwDJ3DXyHo2OYGmsvX0J9o8nYSF/
PYOCI2oWl+QYYhhzBtQYfLF1SYiQRpkIjwB+jZ2vrNMDkKY4+mMcJQ==
-----END PUBLIC KEY-----
`

func TestParsePublicKey(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, e, ed := pairs()["RS256 a"], pairs()["ES256 a"], pairs()["EdDSA a"]
	private := r.sign.(*rsa.PrivateKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ed.sign)
	sec1, err2 := x509.MarshalECPrivateKey(e.sign.(*ecdsa.PrivateKey))
	for name, tt := range map[string]struct {
		text []byte
		pair pair
		want string // part of the error
	}{
		"RSA":                          {pemOf(t, r.public), r, ""},
		"P-256":                        {pemOf(t, e.public), e, ""},
		"Ed25519":                      {pemOf(t, ed.public), ed, ""},
		"RSA, PKCS 1":                  {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&private.PublicKey), nil), r, ""},
		"a certificate of RSA":         {certificate(r), r, ""},
		"a certificate of P-256":       {certificate(e), e, ""},
		"a chain":                      {append(certificate(ed), certificate(r)...), ed, ""},
		"with text around":             {append([]byte("of the IdP\n"), append(pemOf(t, r.public), "\nend\n"...)...), r, ""},
		"two":                          {append(pemOf(t, r.public), pemOf(t, e.public)...), r, "several"},
		"RSA of 1024 bits":             {pemOf(t, &weak.PublicKey), r, "1024 bits; it must have 2048"},
		"RSA of 8200 bits":             {pemOf(t, &rsa.PublicKey{N: new(big.Int).Lsh(private.N, 8200-2048), E: 65537}), r, "8200 bits"},
		"P-224":                        {pemOf(t, &p224.PublicKey), r, "curve P-224; only P-256"},
		"P-384":                        {pemOf(t, &p384(t).PublicKey), r, "curve P-384; only P-256"},
		"secp256k1":                    {[]byte(secp256k1), r, "P-256 and Ed25519 are supported"},
		"a private key":                {block("PRIVATE KEY", pkcs8, err), r, "openssl pkey -pubout"},
		"a private key of P-256":       {block("EC PRIVATE KEY", sec1, err2), r, "openssl pkey -pubout"},
		"a private key of RSA":         {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), nil), r, "openssl pkey -pubout"},
		"an encrypted private key":     {block("ENCRYPTED PRIVATE KEY", []byte("x"), nil), r, "openssl pkey -pubout"},
		"a private key, called public": {block("PUBLIC KEY", pkcs8, err), r, "can't be read"},
		"a request":                    {block("CERTIFICATE REQUEST", []byte("x"), nil), r, "CERTIFICATE REQUEST"},
		"nothing":                      {nil, r, "BEGIN PUBLIC KEY"},
		"a JWKS":                       {[]byte(`{"keys":[]}`), r, "BEGIN PUBLIC KEY"},
		"a certificate that isn't one": {block("CERTIFICATE", []byte("x"), nil), r, "can't be read"},
	} {
		k, err := token.ParsePublicKey(tt.text, "kid")
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", name, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := tt.pair.publicKey(t, "kid", ""); !k.Equal(want) {
			t.Errorf("%s is another key", name)
		}
	}
	if _, err := token.ParsePublicKey(pemOf(t, r.public), "a b"); err == nil {
		t.Error("an id with a space is taken")
	}
}

func TestKeyringsWithPublicKeysAreChecked(t *testing.T) {
	r := pairs()["RS256 a"]
	a := r.publicKey(t, "a", "")
	var many []*token.PublicKey
	for i := range 17 {
		many = append(many, r.publicKey(t, fmt.Sprint(i), ""))
	}
	secret := func(text []byte) token.Options { return token.Options{Keys: []token.Key{{Secret: text}}} }
	for name, o := range map[string]token.Options{
		"same id":           {PublicKeys: []*token.PublicKey{a, pairs()["ES256 a"].publicKey(t, "a", "")}},
		"too many":          {PublicKeys: many},
		"an empty issuer":   {PublicKeys: many[:1], Issuers: []string{""}},
		"an empty audience": {PublicKeys: many[:1], Audiences: []string{"a", ""}},
		"PEM as a secret":   secret(pemOf(t, r.public)),
		"a certificate":     secret(certificate(r)),
	} {
		if _, err := token.NewKeyring(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, text := range [][]byte{pemOf(t, r.public), pemOf(t, pairs()["EdDSA a"].public)} {
		if _, err := token.ParseKey(string(text)); err == nil || !strings.Contains(err.Error(), "public key") {
			t.Errorf("a PEM is taken for a secret: %v", err)
		}
	}
	ring, err := token.NewKeyring(token.Options{PublicKeys: []*token.PublicKey{a}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Issue("ana", time.Hour, token.Grant{}); err != token.ErrNoSecret || ring.Issues() {
		t.Errorf("without a secret: %v", err)
	}
}

// Keys without an id are all tried, and so are keys with an id if the token names none.
func TestRotationOfPublicKeys(t *testing.T) {
	a, b := pairs()["ES256 a"], pairs()["ES256 b"]
	sign := func(p pair, kid string) string {
		unsigned := jwt.NewWithClaims(p.method, jwt.MapClaims{"sub": "ana", "exp": start.Unix() + 100})
		if kid != "" {
			unsigned.Header["kid"] = kid
		}
		raw, err := unsigned.SignedString(p.sign)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	ring := func(keys ...*token.PublicKey) *token.Keyring {
		r, err := token.NewKeyring(token.Options{PublicKeys: keys, Now: func() time.Time { return start }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	named := ring(a.publicKey(t, "a", ""), b.publicKey(t, "b", ""))
	unnamed := ring(a.publicKey(t, "", ""), b.publicKey(t, "", ""))
	done := ring(b.publicKey(t, "b", ""))
	for name, tt := range map[string]struct {
		ring *token.Keyring
		raw  string
		want string
	}{
		"old":                        {named, sign(a, "a"), ""},
		"new":                        {named, sign(b, "b"), ""},
		"names none":                 {named, sign(b, ""), ""},
		"names the other":            {named, sign(b, "a"), token.ReasonInvalid},
		"names one that isn't there": {named, sign(b, "c"), token.ReasonInvalid},
		"old, keys without id":       {unnamed, sign(a, "a"), ""},
		"new, keys without id":       {unnamed, sign(b, "b"), ""},
		"old, afterwards":            {done, sign(a, "a"), token.ReasonInvalid},
		"new, afterwards":            {done, sign(b, "b"), ""},
	} {
		if _, err := tt.ring.Verify(tt.raw); reasonOf(t, err) != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestIssuedTokensSayForWhomTheyAre(t *testing.T) {
	ring := mixedRing(t)
	raw, _, err := ring.Issue("ana", time.Minute, token.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Verify(raw); err != nil {
		t.Error(err)
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil || claims["iss"] != "sala" || claims["aud"] != "chat" {
		t.Errorf("it says %v, %v", claims, err)
	}
}
