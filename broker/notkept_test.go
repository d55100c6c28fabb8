package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/token"
)

// A failing disk keeps nobody connected, and the caller who revokes gets an error.
func TestRevocationThatIsNotKept(t *testing.T) {
	ring := brokertest.Keyring(t, token.Options{})
	folder := filepath.Join(t.TempDir(), "state")
	journal, err := token.OpenJournal(folder, ring.Revocations())
	if err != nil {
		t.Fatal(err)
	}
	node := brokertest.Start(t, broker.Options{Tokens: ring})
	issued := issue(t, node, broker.TokenRequest{User: "ana"})
	ana := node.JoinAs(issued.Token)
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	_, err = node.RevokeTokens(t.Context(), broker.RevokeTokens{TokenID: issued.ID})
	wantReason(t, err, broker.CodeUnavailable, broker.ReasonNotKept)
	ana.Expect("sala:disconnect", `[{"code":"TOKEN_REVOKED","reason":"the token has been revoked"}]`)
	ana.ExpectDisconnect()
}
