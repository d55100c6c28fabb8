package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/MicahParks/jwkset"
)

// publish returns a key as an issuer publishes it, with fields added, replaced or, if nil, removed.
func publish(t testing.TB, key any, more map[string]any) json.RawMessage {
	t.Helper()
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(jwk.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]any)
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		fields[name] = value
		if value == nil {
			delete(fields, name)
		}
	}
	raw, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func document(keys ...json.RawMessage) []byte {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = string(k)
	}
	return []byte(`{"keys":[` + strings.Join(texts, ",") + `]}`)
}

// A name that only resembles a parameter's is ignored.
func TestExactNames(t *testing.T) {
	ed := newKeys(t).ed.Public()
	for name, test := range map[string]struct {
		document []byte
		keys     int
		wrong    string
	}{
		"another case":      {document(publish(t, ed, map[string]any{"USE": "enc", "Alg": "HS256", "D": "x", "\u212aid": "y"})), 1, ""},
		"KEYS":              {[]byte(`{"KEYS":[]}`), 0, "no key set"},
		"keys beside":       {[]byte(`{"keys":[],"Keys":[` + string(publish(t, ed, nil)) + `]}`), 0, ""},
		"kty in capitals":   {document(publish(t, ed, map[string]any{"kty": nil, "KTY": "OKP"})), 0, ""},
		"a parameter twice": {[]byte(strings.Replace(string(document(publish(t, ed, map[string]any{"use": "enc"}))), `"use"`, `"use":"sig","use"`, 1)), 0, ""},
	} {
		keys, _, err := Parse(test.document, "")
		if len(keys) != test.keys || (err == nil) != (test.wrong == "") {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
		if len(keys) == 1 && keys[0].ID() == "y" {
			t.Errorf("%s: the key's id is that of another name", name)
		}
	}
}

type testKeys struct {
	rsa, weak *rsa.PrivateKey
	ec, p384  *ecdsa.PrivateKey
	ed        ed25519.PrivateKey
}

// newKeys makes keys. It makes those of RSA once, because they take a while.
func newKeys(t testing.TB) testKeys {
	t.Helper()
	k := testKeys{rsa: rsaKey(2048), weak: rsaKey(1024)}
	var errs [3]error
	k.ec, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, errs[1] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, k.ed, errs[2] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return k
}

var rsaKeys sync.Map

func rsaKey(bits int) *rsa.PrivateKey {
	if k, ok := rsaKeys.Load(bits); ok {
		return k.(*rsa.PrivateKey)
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	rsaKeys.Store(bits, k)
	return k
}

func TestParse(t *testing.T) {
	k := newKeys(t)
	public := &k.rsa.PublicKey
	for name, tt := range map[string]struct {
		key     json.RawMessage
		skipped string // part of why; empty if it is taken
	}{
		"RSA":                      {publish(t, public, nil), ""},
		"RSA for RS256":            {publish(t, public, map[string]any{"alg": "RS256", "use": "sig", "kid": "a", "key_ops": []string{"verify"}}), ""},
		"RSA for PS256":            {publish(t, public, map[string]any{"alg": "PS256"}), ""},
		"P-256":                    {publish(t, &k.ec.PublicKey, map[string]any{"alg": "ES256"}), ""},
		"P-256 without alg":        {publish(t, &k.ec.PublicKey, nil), ""},
		"Ed25519":                  {publish(t, k.ed.Public(), nil), ""},
		"Ed25519 without alg":      {publish(t, k.ed.Public(), map[string]any{"alg": nil}), ""},
		"with certificates":        {publish(t, public, map[string]any{"x5c": []string{"garbage"}, "x5t": "x", "x5u": "http://127.0.0.1:1/"}), ""},
		"unknown fields":           {publish(t, public, map[string]any{"nbf": 1, "issuer": "x"}), ""},
		"for encryption":           {publish(t, public, map[string]any{"use": "enc"}), "(use)"},
		"for an unknown use":       {publish(t, public, map[string]any{"use": "SIG"}), "(use)"},
		"for signing":              {publish(t, public, map[string]any{"key_ops": []string{"sign"}}), "(key_ops)"},
		"for nothing":              {publish(t, public, map[string]any{"key_ops": []string{}}), "(key_ops)"},
		"for RS384":                {publish(t, public, map[string]any{"alg": "RS384"}), `algorithm "RS384"`},
		"RSA for HS256":            {publish(t, public, map[string]any{"alg": "HS256"}), `algorithm "HS256"`},
		"RSA for ES256":            {publish(t, public, map[string]any{"alg": "ES256"}), `algorithm "ES256"`},
		"RSA for none":             {publish(t, public, map[string]any{"alg": "none"}), `algorithm "none"`},
		"RSA for encryption alone": {publish(t, public, map[string]any{"alg": "RSA-OAEP"}), `algorithm "RSA-OAEP"`},
		"P-256 for EdDSA":          {publish(t, &k.ec.PublicKey, map[string]any{"alg": "EdDSA"}), `algorithm "EdDSA"`},
		"too short":                {publish(t, &k.weak.PublicKey, nil), "1024 bits"},
		"another curve":            {publish(t, &k.p384.PublicKey, nil), "P-384"},
		"a secret":                 {json.RawMessage(`{"kty":"oct","k":"c2VjcmV0"}`), "secret or private"},
		"a private key":            {publish(t, public, map[string]any{"d": "AQAB"}), "secret or private"},
		"no point of the curve":    {publish(t, &k.ec.PublicKey, map[string]any{"x": "AQAB"}), "malformed"},
		"no modulus":               {publish(t, public, map[string]any{"n": ""}), "malformed"},
		"an absurd exponent":       {publish(t, public, map[string]any{"e": strings.Repeat("A", 99) + "B"}), "malformed"},
		"no kind":                  {json.RawMessage(`{}`), "malformed"},
		"a text":                   {json.RawMessage(`"RSA"`), "not a JSON Web Key"},
		"kid of a number":          {publish(t, public, map[string]any{"kid": 7}), "not a JSON Web Key"},
	} {
		keys, skipped, err := Parse(document(tt.key), "")
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.skipped == "" && (len(keys) != 1 || len(skipped) != 0):
			t.Errorf("%s is not taken: %v", name, skipped)
		case tt.skipped != "" && (len(keys) != 0 || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), tt.skipped)):
			t.Errorf("%s: %d keys, skipped %v, want %q", name, len(keys), skipped, tt.skipped)
		}
	}
	// An unusable key doesn't affect the others.
	keys, skipped, err := Parse(document(publish(t, &k.weak.PublicKey, nil), publish(t, public, nil)), "")
	if err != nil || len(keys) != 1 || len(skipped) != 1 {
		t.Errorf("%d keys, skipped %v, %v", len(keys), skipped, err)
	}
}

func TestDocumentsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "a page": "<html>", "a list": "[]", "no keys": `{"error":"x"}`, "keys of null": `{"keys":null}`, "keys of a text": `{"keys":"x"}`,
		"too many": string(document(make([]json.RawMessage, maxKeys+1)...)), "cut": `{"keys":[{"kty":"RSA"`, "two": `{"keys":[]}{"keys":[]}`,
	} {
		text = strings.ReplaceAll(text, ",,", ",{},") // a nil key is no text
		if _, _, err := Parse([]byte(text), ""); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if keys, _, err := Parse([]byte(`{"keys":[]}`), ""); err != nil || len(keys) != 0 {
		t.Errorf("a set that is empty: %v, %v", keys, err)
	}
}

func FuzzParse(f *testing.F) {
	k := newKeys(f)
	f.Add(document(publish(f, &k.rsa.PublicKey, map[string]any{"kid": "a", "use": "sig", "alg": "PS256"}), publish(f, &k.ec.PublicKey, nil)))
	f.Add(document(publish(f, k.ed.Public(), nil), publish(f, &k.p384.PublicKey, nil)))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("_", 344) + `","e":"AQAB"},{"kty":"oct","k":"x"}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		keys, skipped, err := Parse(document, "me")
		if err != nil && len(keys)+len(skipped) > 0 || len(keys)+len(skipped) > maxKeys {
			t.Errorf("%d keys, %d skipped, %v", len(keys), len(skipped), err)
		}
		again, _, _ := Parse(document, "me")
		for i, key := range keys {
			if !key.Equal(again[i]) {
				t.Error("the same document holds other keys")
			}
		}
	})
}
