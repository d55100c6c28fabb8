package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// rotating is a source whose keys the test changes.
type rotating struct{ keys []*PublicKey }

func (r *rotating) Keys() ([]*PublicKey, bool) { return r.keys, true }
func (*rotating) Refresh() <-chan struct{}     { return nil }

func verdictOf(r *Keyring, raw string) (Claims, string) {
	claims, err := r.Verify(raw)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return claims, refusal.Reason + ": " + refusal.Message
	}
	return claims, ""
}

// Compares a keyring that caches tokens with one that never does, while time passes and is set
// back, tokens are revoked, keys come, go and change their ids, and the cache overflows.
func TestCacheChangesNoResult(t *testing.T) {
	type signer struct {
		public  ed25519.PublicKey
		private ed25519.PrivateKey
	}
	signers := make([]signer, 4)
	for i := range signers {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		signers[i] = signer{public, private}
	}
	hits, refused, accepted := 0, 0, 0
	for seed := range uint64(4) {
		rnd := mathrand.New(mathrand.NewPCG(seed, 2))
		begin := time.Unix(1_700_000_000, 0)
		now := begin
		source := &rotating{}
		issuers := []string{"us", "", "us", "them"}
		fixed, err := NewPublicKey(signers[0].public, "fixed", "", "")
		must(t, err)
		newRing := func() *Keyring {
			ring, err := NewKeyring(Options{
				Keys:       []Key{{Secret: []byte(strings.Repeat("s", 32))}},
				PublicKeys: []*PublicKey{fixed}, Sources: []Source{source}, Now: func() time.Time { return now },
			})
			must(t, err)
			return ring
		}
		cached, plain := newRing(), newRing()
		cached.verified, plain.verified = newCache(20_000), nil // some 20 tokens
		var tokens []string
		for range 1500 {
			switch rnd.IntN(12) {
			case 0:
				now = now.Add(time.Duration(rnd.IntN(12)-4) * time.Minute)
			case 1:
				id := fmt.Sprint("id", rnd.IntN(100))
				must(t, errors.Join(cached.Revocations().RevokeID(id), plain.Revocations().RevokeID(id)))
			case 2:
				user, before := fmt.Sprint("user", rnd.IntN(4)), now.Add(-time.Duration(rnd.IntN(60))*time.Minute)
				must(t, errors.Join(cached.Revocations().RevokeUser(user, before), plain.Revocations().RevokeUser(user, before)))
			case 3:
				source.keys = nil
				for i, s := range signers {
					if rnd.IntN(3) > 0 {
						key, err := NewPublicKey(s.public, []string{"", "a", "b", fmt.Sprint(i)}[rnd.IntN(4)], issuers[1+rnd.IntN(3)], "")
						must(t, err)
						source.keys = append(source.keys, key)
					}
				}
			case 4, 5:
				s := signers[rnd.IntN(len(signers))]
				unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
					"sub": fmt.Sprint("user", rnd.IntN(20)), "jti": fmt.Sprint("id", rnd.IntN(200)), "iss": issuers[rnd.IntN(4)],
					"iat": now.Unix(), "nbf": now.Unix() + rnd.Int64N(60), "exp": now.Unix() + rnd.Int64N(7200), "sala": map[string]any{"join": []string{"a:*"}},
				})
				if kid := []string{"", "", "fixed", "a", "b", "0", "1", "2", "c"}[rnd.IntN(9)]; kid != "" {
					unsigned.Header["kid"] = kid
				}
				raw, err := unsigned.SignedString(s.private)
				must(t, err)
				tokens = append(tokens, raw)
			default:
				if len(tokens) == 0 {
					continue
				}
				// The latest tokens, so that some are cached.
				raw := tokens[len(tokens)-1-rnd.IntN(min(len(tokens), 30))]
				if rnd.IntN(20) == 0 {
					raw = raw[:len(raw)-2] + "AA"
				}
				if _, ok := cached.cached(raw); ok {
					hits++
				}
				gotClaims, got := verdictOf(cached, raw)
				wantClaims, want := verdictOf(plain, raw)
				if got != want || !reflect.DeepEqual(gotClaims, wantClaims) {
					t.Fatalf("seed %d: cached %q %+v, uncached %q %+v", seed, got, gotClaims, want, wantClaims)
				}
				if got == "" {
					accepted++
				} else {
					refused++
				}
			}
		}
		if size := len(cached.verified.young) + len(cached.verified.old); size > 30 {
			t.Fatalf("%d tokens are cached", size)
		}
	}
	if hits < 100 || accepted < 150 || refused < 500 {
		t.Errorf("%d cached, %d accepted, %d refused: the test tests little", hits, accepted, refused)
	}
	t.Logf("%d remembered, %d accepted, %d refused", hits, accepted, refused)
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	key, err := NewPublicKey(public, "", "", "")
	must(t, err)
	secret := []byte(strings.Repeat("s", 32))
	ring, err := NewKeyring(Options{Keys: []Key{{Secret: secret}}, PublicKeys: []*PublicKey{key}})
	must(t, err)
	claims := jwt.MapClaims{"sub": "ana", "exp": time.Now().Add(time.Hour).Unix()}
	forged, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(stranger)
	must(t, err)
	good, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	must(t, err)
	for _, raw := range []string{forged, good, "x"} {
		_, _ = ring.Verify(raw)
	}
	if n := len(ring.verified.young); n != 0 {
		t.Errorf("%d tokens are cached", n)
	}
}
