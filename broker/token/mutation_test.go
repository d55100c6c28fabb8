package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/token"
)

// pair is a key of another issuer.
type pair struct {
	name   string
	method jwt.SigningMethod
	sign   any
	public crypto.PublicKey
}

// pairs returns two keys of each kind, a and b. It makes them once, because RSA keys take a while.
var pairs = sync.OnceValue(func() map[string]pair {
	all := make(map[string]pair)
	for _, which := range []string{"a", "b"} {
		r, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		for _, p := range []pair{
			{"RS256", jwt.SigningMethodRS256, r, &r.PublicKey},
			{"PS256", jwt.SigningMethodPS256, r, &r.PublicKey},
			{"ES256", jwt.SigningMethodES256, e, &e.PublicKey},
			{"EdDSA", jwt.SigningMethodEdDSA, private, public},
		} {
			all[p.name+" "+which] = p
		}
	}
	return all
})

func pemOf(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func (p pair) publicKey(t testing.TB, id, issuer string) *token.PublicKey {
	t.Helper()
	k, err := token.NewPublicKey(p.public, id, issuer, p.name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// compact makes a signed token of any texts.
func compact(t testing.TB, header, claims string, method jwt.SigningMethod, key any) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	sig, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// mixedRing has a secret and three public keys. The RSA key is for RS256.
func mixedRing(t testing.TB) *token.Keyring {
	t.Helper()
	ring, err := token.NewKeyring(token.Options{
		Keys: []token.Key{one},
		PublicKeys: []*token.PublicKey{
			pairs()["RS256 a"].publicKey(t, "rsa", ""), pairs()["ES256 a"].publicKey(t, "ec", ""), pairs()["EdDSA a"].publicKey(t, "ed", "https://idp.example/"),
		},
		Issuers:   []string{"sala", "other"},
		Audiences: []string{"chat", "games"},
		Now:       func() time.Time { return start },
	})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// signers are all that may try to sign a token: with keys that the ring has, with other keys, and
// with a public key as a secret.
func signers(t testing.TB) map[string]struct {
	method jwt.SigningMethod
	key    any
} {
	t.Helper()
	type signer = struct {
		method jwt.SigningMethod
		key    any
	}
	all := map[string]signer{
		"secret":          {jwt.SigningMethodHS256, one.Secret},
		"secret, HS384":   {jwt.SigningMethodHS384, one.Secret},
		"secret, HS512":   {jwt.SigningMethodHS512, one.Secret},
		"another secret":  {jwt.SigningMethodHS256, two.Secret},
		"no secret":       {jwt.SigningMethodHS256, []byte{}},
		"none":            {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType},
		"RSA a, RS512":    {jwt.SigningMethodRS512, pairs()["RS256 a"].sign},
		"a 384-bit curve": {jwt.SigningMethodES384, p384(t)},
	}
	for name, p := range pairs() {
		all[name] = signer{p.method, p.sign}
		if strings.HasSuffix(name, " b") {
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(p.public)
		if err != nil {
			t.Fatal(err)
		}
		text := pemOf(t, p.public)
		all[name+"'s PEM as a secret"] = signer{jwt.SigningMethodHS256, text}
		all[name+"'s DER as a secret"] = signer{jwt.SigningMethodHS256, der}
	}
	return all
}

var p384 = func() func(testing.TB) *ecdsa.PrivateKey {
	once := sync.OnceValues(func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) })
	return func(t testing.TB) *ecdsa.PrivateKey {
		t.Helper()
		k, err := once()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}()

// Combines each signer with each algorithm that a header can name, each kid and each set of claims.
// The ring must accept exactly those in a short list.
func TestEveryMutation(t *testing.T) {
	ring := mixedRing(t)
	at := start.Unix()
	good := func(extra string) string { return fmt.Sprintf(`{"sub":"ana","exp":%d%s}`, at+100, extra) }
	parties := `,"iss":"sala","aud":"chat"`
	claims := []struct {
		name, text string
		sala, idp  string // the reason with a key for any issuer, and with that of the IdP
	}{
		{"ours", good(parties), "", token.ReasonInvalid},
		{"the second issuer, several audiences", good(`,"iss":"other","aud":["x","games",7]`), "", token.ReasonInvalid},
		{"the IdP's", good(`,"iss":"https://idp.example/","aud":"chat"`), token.ReasonInvalid, ""},
		{"no issuer", good(`,"aud":"chat"`), token.ReasonInvalid, token.ReasonInvalid},
		{"an issuer that is a list", good(`,"iss":["sala","https://idp.example/"],"aud":"chat"`), token.ReasonInvalid, token.ReasonInvalid},
		{"another case", good(`,"iss":"Sala","aud":"chat"`), token.ReasonInvalid, token.ReasonInvalid},
		{"no audience", good(`,"iss":"sala"`), token.ReasonInvalid, token.ReasonInvalid},
		{"another audience", good(`,"iss":"sala","aud":["chats"]`), token.ReasonInvalid, token.ReasonInvalid},
		{"an audience of nobody", good(`,"iss":"sala","aud":[]`), token.ReasonInvalid, token.ReasonInvalid},
		{"expired", fmt.Sprintf(`{"sub":"ana","exp":%d,"iss":"sala","aud":"chat"}`, at), token.ReasonExpired, token.ReasonInvalid},
		{"not yet", good(parties + fmt.Sprintf(`,"nbf":%d`, at+31)), token.ReasonNotYetValid, token.ReasonInvalid},
		{"a claim twice", good(parties + `,"sub":"root"`), token.ReasonInvalid, token.ReasonInvalid},
		{"a claim twice, escaped", good(parties + `,"s\u0075b":"root"`), token.ReasonInvalid, token.ReasonInvalid},
		{"a claim twice, deep", good(parties + `,"sala":{"join":["a"],"join":["**"]}`), token.ReasonInvalid, token.ReasonInvalid},
		{"two objects", good(parties) + `{"sub":"root"}`, token.ReasonInvalid, token.ReasonInvalid},
		{"a list", `[` + good(parties) + `]`, token.ReasonInvalid, token.ReasonInvalid},
		{"another token", `"` + compact(t, `{"alg":"HS256"}`, good(parties), jwt.SigningMethodHS256, one.Secret) + `"`, token.ReasonInvalid, token.ReasonInvalid},
		{"nothing", ``, token.ReasonInvalid, token.ReasonInvalid},
		{"null", `null`, token.ReasonInvalid, token.ReasonInvalid},
	}
	algorithms := []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA",
		"none", "None", "NONE", "nOnE", "", "hs256", "rs256", "Hs256", "HS256 ", "RS256\u0000", "ES256K", "dir"}
	kids := []string{``, `"one"`, `"rsa"`, `"ec"`, `"ed"`, `"../../dev/null"`, `["rsa"]`}
	// With each other algorithm and kid a token is refused. The kid of a secret is a hint, that of
	// a public key is binding.
	accepted := map[string]bool{}
	for _, kid := range kids[:6] {
		accepted["secret HS256 "+kid] = true
	}
	for _, tt := range []struct{ signer, alg, kid string }{{"RS256 a", "RS256", "rsa"}, {"PS256 a", "", ""}, {"ES256 a", "ES256", "ec"}, {"EdDSA a", "EdDSA", "ed"}} {
		if tt.alg != "" {
			accepted[tt.signer+" "+tt.alg+" "] = true
			accepted[tt.signer+" "+tt.alg+` "`+tt.kid+`"`] = true
		}
	}
	tried, let := 0, 0
	for name, s := range signers(t) {
		for i, c := range claims {
			for _, alg := range algorithms {
				for _, kid := range kids {
					header := fmt.Sprintf(`{"typ":"JWT","alg":%s}`, quoted(t, alg))
					if kid != "" {
						header = strings.TrimSuffix(header, "}") + `,"kid":` + kid + `}`
					}
					// Signers that aren't accepted get claims that would be.
					want := token.ReasonInvalid
					if accepted[name+" "+alg+" "+kid] {
						want = c.sala
						if alg == "EdDSA" {
							want = c.idp
						}
					} else if i != 0 && (alg != "EdDSA" || c.idp != "") {
						continue
					}
					tried++
					_, err := ring.Verify(compact(t, header, c.text, s.method, s.key))
					if got := reasonOf(t, err); got != want {
						t.Errorf("signed by %s, alg %q, kid %s, claims %s: %q (%v), want %q", name, alg, kid, c.name, got, err, want)
					}
					if want == "" {
						let++
					}
				}
			}
		}
	}
	if let == 0 || tried < 4000 {
		t.Errorf("%d tokens were tried, of which %d were to be accepted: this checks nothing", tried, let)
	}
	t.Logf("%d tokens, %d of them accepted", tried, let)
}

func quoted(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Keys that a token carries or refers to are ignored.
func TestHeadersThatBringKeys(t *testing.T) {
	ring := mixedRing(t)
	stranger := pairs()["ES256 b"]
	public := stranger.public.(*ecdsa.PublicKey)
	point, err := public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q,"kid":"ec","alg":"ES256"}`, b64(point[1:33]), b64(point[33:]))
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	thumb := sha256.Sum256(der)
	claims := fmt.Sprintf(`{"sub":"ana","exp":%d,"iss":"sala","aud":"chat"}`, start.Unix()+100)
	for name, extra := range map[string]string{
		"jwk":      `"jwk":` + jwk,
		"x5c":      `"x5c":["` + base64.StdEncoding.EncodeToString(der) + `"]`,
		"jku":      `"jku":"http://127.0.0.1:1/jwks.json"`,
		"x5u":      `"x5u":"http://127.0.0.1:1/cert.pem"`,
		"x5t#S256": `"x5t#S256":"` + b64(thumb[:]) + `"`,
		"kid":      `"kid":"ec"`,
		"crit":     `"crit":["b64"],"b64":false`,
		"cty":      `"cty":"JWT"`,
	} {
		if _, err := ring.Verify(compact(t, `{"alg":"ES256",`+extra+`}`, claims, stranger.method, stranger.sign)); reasonOf(t, err) != token.ReasonInvalid {
			t.Errorf("%s makes another key accepted: %v", name, err)
		}
		// With an accepted key, such headers are ignored. Headers that change what the token means
		// are refused.
		want := ""
		if name == "crit" || name == "cty" {
			want = token.ReasonInvalid
		}
		own := pairs()["ES256 a"]
		if _, err := ring.Verify(compact(t, `{"alg":"ES256",`+extra+`}`, claims, own.method, own.sign)); reasonOf(t, err) != want {
			t.Errorf("%s with an accepted key: %v, want %q", name, err, want)
		}
	}
	for name, header := range map[string]string{
		"alg twice": `{"alg":"HS256","alg":"ES256"}`, "kid twice": `{"alg":"ES256","kid":"rsa","kid":"ec"}`, "crit null": `{"alg":"ES256","crit":null}`,
		"two headers": `{"alg":"ES256"}{}`, "list": `["alg","ES256"]`, "ALG": `{"ALG":"ES256"}`, "alg of a list": `{"alg":["ES256"]}`, "nothing": ``,
	} {
		own := pairs()["ES256 a"]
		if _, err := ring.Verify(compact(t, header, claims, own.method, own.sign)); reasonOf(t, err) != token.ReasonInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token has a single encoding. No other text is the same token.
func TestSpoiltEncodings(t *testing.T) {
	ring := mixedRing(t)
	own := pairs()["EdDSA a"]
	raw := compact(t, `{"alg":"EdDSA","kid":"ed"}`, fmt.Sprintf(`{"sub":"ana","exp":%d,"iss":"https://idp.example/","aud":"chat"}`, start.Unix()+100), own.method, own.sign)
	if _, err := ring.Verify(raw); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(raw, ".")
	for name, spoilt := range map[string]string{
		"padding":          raw + "==",
		"a line break":     raw + "\n",
		"a space":          " " + raw,
		"a fourth part":    raw + ".",
		"five parts":       raw + "..",
		"no signature":     parts[0] + "." + parts[1] + ".",
		"two parts":        parts[0] + "." + parts[1],
		"unused bits":      raw[:len(raw)-1] + string("BRhx"[strings.IndexByte("AQgw", raw[len(raw)-1])]),
		"of another token": parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root"}`)) + "." + parts[2],
		"standard base64":  strings.NewReplacer("-", "+", "_", "/").Replace(raw) + "/",
	} {
		if _, err := ring.Verify(spoilt); reasonOf(t, err) != token.ReasonInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(raw) {
		changed := []byte(raw)
		changed[i] ^= 1
		if _, err := ring.Verify(string(changed)); err == nil {
			t.Errorf("byte %d can be changed", i)
		}
	}
}
