package token_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/token"
)

var (
	start = time.Unix(1_700_000_000, 0)
	one   = token.Key{ID: "one", Secret: []byte(strings.Repeat("1", 32))}
	two   = token.Key{ID: "two", Secret: []byte(strings.Repeat("2", 32))}
)

func keyring(t *testing.T, now *time.Time, keys ...token.Key) *token.Keyring {
	t.Helper()
	ring, err := token.NewKeyring(token.Options{Keys: keys, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func reasonOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *token.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("the error is a %T, want a Refusal", err)
	}
	return r.Reason
}

func TestIssuedTokensVerify(t *testing.T) {
	now := start
	ring := keyring(t, &now, one)
	grant := token.Grant{
		Namespaces: []string{"/chat"},
		Rooms:      []string{"a"},
		Join:       []string{"a:*"},
		Publish:    []string{"**"},
		Broadcast:  true,
		Data:       []byte(`{"n":9007199254740993}`),
	}
	raw, issued, err := ring.Issue("ana", time.Hour, grant)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ring.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, issued) || got.User != "ana" || !got.Scoped || !reflect.DeepEqual(got.Grant, grant) {
		t.Errorf("verified %+v\nissued %+v", got, issued)
	}
	if again, _, _ := ring.Issue("ana", time.Hour, grant); again == raw {
		t.Error("two tokens are the same: they have no id of their own")
	}
}

func TestExpiryIsExact(t *testing.T) {
	now := start
	ring := keyring(t, &now, one)
	raw, _, err := ring.Issue("ana", time.Minute, token.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]string{
		0:                             "",
		time.Minute - time.Nanosecond: "",
		time.Minute:                   token.ReasonExpired,
		time.Hour:                     token.ReasonExpired,
		-30 * time.Second:             "",
		-31 * time.Second:             token.ReasonNotYetValid,
	} {
		now = start.Add(after)
		if _, err := ring.Verify(raw); reasonOf(t, err) != want {
			t.Errorf("after %s: %v, want %q", after, err, want)
		}
	}
}

func TestRotation(t *testing.T) {
	now := start
	old := keyring(t, &now, one)
	both := keyring(t, &now, two, one)
	unnamed := keyring(t, &now, token.Key{Secret: two.Secret}, token.Key{Secret: one.Secret, ID: "other name"})
	done := keyring(t, &now, two)
	raw, _, _ := old.Issue("ana", time.Hour, token.Grant{})
	for name, test := range map[string]struct {
		ring *token.Keyring
		want string
	}{
		"before":            {old, ""},
		"both keys":         {both, ""},
		"under other names": {unnamed, ""},
		"after":             {done, token.ReasonInvalid},
	} {
		if _, err := test.ring.Verify(raw); reasonOf(t, err) != test.want {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	// The new ring signs with its first key.
	raw, _, _ = both.Issue("ana", time.Hour, token.Grant{})
	if _, err := done.Verify(raw); err != nil {
		t.Errorf("signed with the wrong key: %v", err)
	}
}

func TestTimesOfForeignTokens(t *testing.T) {
	now := start
	ring := keyring(t, &now, one)
	at := start.Unix()
	for name, test := range map[string]struct {
		claims jwt.MapClaims
		want   string
	}{
		"whole seconds":   {jwt.MapClaims{"exp": at + 1}, ""},
		"fractions":       {jwt.MapClaims{"exp": float64(at) + 0.5}, ""},
		"now":             {jwt.MapClaims{"exp": at}, token.ReasonExpired},
		"no exp":          {jwt.MapClaims{}, token.ReasonInvalid},
		"exp is text":     {jwt.MapClaims{"exp": "tomorrow"}, token.ReasonInvalid},
		"exp is absurd":   {jwt.MapClaims{"exp": 1e300}, token.ReasonInvalid},
		"exp is null":     {jwt.MapClaims{"exp": nil}, token.ReasonInvalid},
		"nbf within skew": {jwt.MapClaims{"exp": at + 100, "nbf": at + 30}, ""},
		"nbf beyond":      {jwt.MapClaims{"exp": at + 100, "nbf": at + 31}, token.ReasonNotYetValid},
		"iat beyond":      {jwt.MapClaims{"exp": at + 100, "iat": at + 31}, token.ReasonNotYetValid},
	} {
		test.claims["sub"] = "ana"
		raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, test.claims).SignedString(one.Secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Verify(raw); reasonOf(t, err) != test.want {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// A token may require extensions (RFC 7515, 4.1.11).
func TestCriticalExtensionsAreRefused(t *testing.T) {
	now := start
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "ana", "exp": start.Unix() + 100})
	unsigned.Header["crit"] = []string{"b64"}
	raw, err := unsigned.SignedString(one.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring(t, &now, one).Verify(raw); reasonOf(t, err) != token.ReasonInvalid {
		t.Errorf("got %v", err)
	}
}

func TestParseKey(t *testing.T) {
	for in, want := range map[string]token.Key{
		"secret":       {Secret: []byte("secret")},
		"c2VjcmV0eA==": {Secret: []byte("c2VjcmV0eA==")},
		"2026=secret":  {ID: "2026", Secret: []byte("secret")},
		"a=c2Vj==":     {ID: "a", Secret: []byte("c2Vj==")},
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=": {Secret: []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")},
	} {
		got, err := token.ParseKey(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a b=secret", "kid=", "2026-key-of-a-name="} {
		if _, err := token.ParseKey(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestKeyringsAreChecked(t *testing.T) {
	short := token.Key{Secret: []byte("too-short-a-secret")}
	for name, o := range map[string]token.Options{
		"no key":  {},
		"short":   {Keys: []token.Key{one, short}},
		"same id": {Keys: []token.Key{one, one}},
		"empty":   {Keys: []token.Key{{}}, AllowShortSecrets: true},
	} {
		_, err := token.NewKeyring(o)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "too-short-a-secret") {
			t.Errorf("%s: the secret is in the error %q", name, err)
		}
	}
	if _, err := token.NewKeyring(token.Options{Keys: []token.Key{short}, AllowShortSecrets: true}); err != nil {
		t.Errorf("short secrets in development: %v", err)
	}
}

func TestKeysDoNotPrintTheirSecret(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, one); strings.Contains(got, "1111") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	now := start
	ring, err := token.NewKeyring(token.Options{Keys: []token.Key{one}, Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	raw, _, _ := ring.Issue("ana", time.Hour, token.Grant{Rooms: []string{"a"}})
	f.Add(raw)
	f.Add("")
	f.Add("..")
	f.Add(raw[:len(raw)-1])
	mixed := mixedRing(f)
	for _, p := range []string{"RS256 a", "ES256 a", "EdDSA a", "ES256 b"} {
		claims := fmt.Sprintf(`{"sub":"ana","exp":%d,"iss":"sala","aud":"chat"}`, start.Unix()+100)
		f.Add(compact(f, fmt.Sprintf(`{"alg":%q}`, pairs()[p].name), claims, pairs()[p].method, pairs()[p].sign))
	}
	f.Fuzz(func(t *testing.T, in string) {
		_, first := mixed.Verify(in)
		if _, again := mixed.Verify(in); reasonOf(t, first) != reasonOf(t, again) {
			t.Errorf("%q: %v at first, then %v", in, first, again)
		}
		claims, err := ring.Verify(in)
		if err == nil && (claims.User == "" || !now.Before(claims.ExpiresAt)) {
			t.Errorf("%q was accepted as %+v", in, claims)
		}
		if err != nil && reasonOf(t, err) == "" {
			t.Errorf("%q was refused without a reason", in)
		}
	})
}
