package broker_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// noKeysYet is a source that nothing was ever fetched for.
type noKeysYet struct{}

func (noKeysYet) Keys() ([]*token.PublicKey, bool) { return nil, false }
func (noKeysYet) Refresh() <-chan struct{}         { return nil }

func TestBrokerThatOnlyChecksTokens(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.NewPublicKey(public, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewKeyring(token.Options{PublicKeys: []*token.PublicKey{key}, Audiences: []string{"chat"}})
	if err != nil {
		t.Fatal(err)
	}
	node := brokertest.Start(t, broker.Options{Tokens: ring, DefaultPermissions: broker.Permissions{Rooms: []string{"lobby"}}})
	_, err = node.IssueToken(t.Context(), broker.TokenRequest{User: "ana"})
	wantReason(t, err, broker.CodeFailedPrecondition, broker.ReasonNoSigningKey)
	if err != nil && !strings.Contains(err.Error(), "JWT secret") {
		t.Errorf("the error doesn't say what to set: %v", err)
	}
	in := time.Now().Add(time.Hour).Unix()
	ana := node.JoinAs(sign(t, jwt.SigningMethodEdDSA, private, jwt.MapClaims{"sub": "ana", "exp": in, "aud": []string{"chat"}}))
	if rooms := roomsOf(t, node, ana.ID); strings.Join(rooms, " ") != "lobby" {
		t.Errorf("the rooms are %v", rooms)
	}
	for name, raw := range map[string]string{
		"another audience": sign(t, jwt.SigningMethodEdDSA, private, jwt.MapClaims{"sub": "ana", "exp": in, "aud": "games"}),
		"a secret":         sign(t, jwt.SigningMethodHS256, []byte(brokertest.Secret), jwt.MapClaims{"sub": "ana", "exp": in, "aud": "chat"}),
		"the public key":   sign(t, jwt.SigningMethodHS256, []byte(public), jwt.MapClaims{"sub": "ana", "exp": in, "aud": "chat"}),
	} {
		if answer := node.Dial(nil).Connect("/", map[string]string{"token": raw}); !strings.Contains(answer, `"code":"TOKEN_INVALID"`) {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

// A client that comes before the keys gets an error that says so, and not that its token is bad.
func TestKeysThatAreNotThereYet(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := brokertest.Keyring(t, token.Options{Sources: []token.Source{noKeysYet{}}})
	node := brokertest.Start(t, broker.Options{Tokens: ring})
	raw := sign(t, jwt.SigningMethodEdDSA, private, jwt.MapClaims{"sub": "ana", "exp": time.Now().Add(time.Hour).Unix()})
	if answer := node.Dial(nil).Connect("/", map[string]string{"token": raw}); !strings.Contains(answer, `"code":"TOKEN_KEYS_UNAVAILABLE"`) {
		t.Errorf("the answer is %s", answer)
	}
	_, err = node.VerifyToken(t.Context(), raw)
	wantReason(t, err, broker.CodeUnavailable, token.ReasonKeysUnavailable)
	node.Join("ben") // by a secret, which waits for nothing
}
