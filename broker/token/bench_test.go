package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker/token"
)

// Verifies a token for the first time, and again.
func BenchmarkVerify(b *testing.B) {
	grant := map[string]any{"rooms": []string{"lobby"}, "join": []string{"chat:*", "team:**"}, "publish": []string{"chat:*"}}
	signers := map[string]pair{"HS256": {"HS256", jwt.SigningMethodHS256, one.Secret, nil}}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		signers[alg] = pairs()[alg+" a"]
	}
	for _, name := range []string{"HS256", "RS256", "RS256 seen", "ES256", "ES256 seen", "EdDSA", "EdDSA seen"} {
		alg, seen := strings.CutSuffix(name, " seen")
		p := signers[alg]
		b.Run(name, func(b *testing.B) {
			o := token.Options{Now: func() time.Time { return start }, Keys: []token.Key{one}}
			if p.public != nil {
				o = token.Options{Now: o.Now, PublicKeys: []*token.PublicKey{p.publicKey(b, "", "")}}
			}
			ring, err := token.NewKeyring(o)
			if err != nil {
				b.Fatal(err)
			}
			if !seen {
				ring.Forget()
			}
			raw, err := jwt.NewWithClaims(p.method, jwt.MapClaims{
				"sub": "ana", "exp": start.Unix() + 100, "iat": start.Unix(), "jti": "0123456789012345678901", "sala": grant,
			}).SignedString(p.sign)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ring.Verify(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
