package config

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// publicKeyFile writes a public key and returns where.
func publicKeyFile(t *testing.T, name string) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A broker that only checks tokens needs no secret.
func TestPublicKeysAlone(t *testing.T) {
	path := publicKeyFile(t, "a=b.pem")
	relative := writeFile(t, "jwt_public_key: [k1=keys/idp.pem]\n")
	for name, args := range map[string][]string{
		"file":           {"--jwt-public-key", path},
		"file and kid":   {"--jwt-public-key", "2026.11-a_b=" + path},
		"URL":            {"--jwt-jwks-url", "https://idp.example/keys"},
		"URL and issuer": {"--jwt-jwks-url", "https://idp.example/?a=b=https://idp.example/keys?p=https%3A"},
		"both":           {"--jwt-jwks-url", "http://127.0.0.1:1/keys", "--jwt-public-key", path, "--jwt-issuer", "a", "--jwt-audience", "b"},
	} {
		c, err := first(mustParse(t, nil, append(args, "--api-key", testKey)...)).Build()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Broker.Tokens.Issues() {
			t.Errorf("%s: it issues tokens without a secret", name)
		}
		if want := len(c.Flags.JWTJWKSURL); len(c.KeySets) != want {
			t.Errorf("%s: %d key sets, want %d", name, len(c.KeySets), want)
		}
	}
	// A path in the file is relative to the file.
	_, err := first(mustParse(t, nil, "--config", relative, "--api-key", testKey)).Build()
	if want := filepath.Join(filepath.Dir(relative), "keys/idp.pem"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v and lacks %s", err, want)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	path := publicKeyFile(t, "key.pem")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":               {nil, "if all tokens are issued elsewhere, set --jwt-public-key or --jwt-jwks-url"},
		"no file":               {[]string{"--jwt-public-key", "/nowhere/key.pem"}, "jwt_public_key[0]: can't read the file: open /nowhere/key.pem"},
		"no key":                {[]string{"--jwt-public-key", writeFile(t, "hello")}, "BEGIN PUBLIC KEY"},
		"two with one id":       {[]string{"--jwt-public-key", "a=" + path, "--jwt-public-key", "a=" + path}, `two public keys have the id "a"`},
		"http":                  {[]string{"--jwt-jwks-url", "http://idp.example/keys"}, "jwt_jwks_url[0]: it must begin with https://"},
		"no issuer before it":   {[]string{"--jwt-jwks-url", "=https://idp.example/keys"}, "the issuer before \"=\" is missing"},
		"twice":                 {[]string{"--jwt-jwks-url", "https://idp.example/keys", "--jwt-jwks-url", "https://idp.example/keys"}, "jwt_jwks_url[1]: this URL is set twice"},
		"an empty issuer":       {[]string{"--jwt-public-key", path, "--jwt-issuer="}, "empty entry"},
		"an empty audience":     {[]string{"--jwt-public-key", path, "--jwt-audience="}, "empty entry"},
		"a public key a secret": {[]string{"--jwt-secret=-----BEGIN PUBLIC KEY-----"}, "--jwt-public-key"},
	} {
		_, err := first(mustParse(t, nil, append(tt.args, "--api-key", testKey)...)).Build()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestKeySetsAreShownWithoutQuery(t *testing.T) {
	for entry, want := range map[string]string{
		"https://idp.example/keys":                      "https://idp.example/keys",
		"https://idp.example/keys?code=s3cret":          "https://idp.example/keys?***",
		"me=https://idp.example/keys?code=s3cret":       "me=https://idp.example/keys?***",
		"https://i.example/=https://idp.example/k?c=s3": "https://i.example/=https://idp.example/k?***",
	} {
		if got := maskKeySet(entry); got != want {
			t.Errorf("%s is shown as %s, want %s", entry, got, want)
		}
	}
}
