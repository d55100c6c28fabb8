package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/token"
)

// refuses reports whether a node refuses a token as revoked.
func refuses(t *testing.T, node *brokertest.Node, raw string) bool {
	t.Helper()
	_, err := node.VerifyToken(t.Context(), raw)
	var refusal *broker.Error
	return errors.As(err, &refusal) && refusal.Reason == token.ReasonRevoked
}

func startOn(t *testing.T, exchange *clustertest.Exchange) *brokertest.Node {
	t.Helper()
	return brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
}

func issueTo(t *testing.T, node *brokertest.Node, user string) broker.IssuedToken {
	t.Helper()
	issued, err := node.IssueToken(t.Context(), broker.TokenRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func TestNodesThatStartLaterKnowWhatIsRevoked(t *testing.T) {
	exchange := clustertest.NewExchange()
	node := startOn(t, exchange)
	eventually(t, "it is connected", func() bool { return !node.Isolated() })
	ana, ben, eve := issueTo(t, node, "ana"), issueTo(t, node, "ben"), issueTo(t, node, "eve")
	for _, r := range []broker.RevokeTokens{{TokenID: ana.ID}, {User: "ben"}} {
		if out, err := node.RevokeTokens(t.Context(), r); err != nil || out.Partial {
			t.Fatalf("%+v: %+v, %v", r, out, err)
		}
	}
	later := startOn(t, exchange)
	eventually(t, "the new node knows", func() bool { return refuses(t, later, ana.Token) && refuses(t, later, ben.Token) })
	if refuses(t, later, eve.Token) || refuses(t, later, issueTo(t, later, "ben").Token) {
		t.Error("it refuses what isn't revoked")
	}
}

// A revocation still holds when the key that signed it has been replaced and no node
// that took part in the call is left.
func TestRevocationsOutliveTheKeyOfTheCluster(t *testing.T) {
	exchange := clustertest.NewExchange()
	before, after := []byte(strings.Repeat("b", 32)), []byte(strings.Repeat("a", 32))
	start := func(keys ...[]byte) *brokertest.Node {
		node := brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus(), Keys: keys}})
		eventually(t, "it is connected", func() bool { return !node.Isolated() })
		return node
	}
	node := start(before)
	ana := issueTo(t, node, "ana")
	if out, err := node.RevokeTokens(t.Context(), broker.RevokeTokens{TokenID: ana.ID}); err != nil || out.Partial {
		t.Fatalf("RevokeTokens: %+v, %v", out, err)
	}
	for _, keys := range [][][]byte{{before, after}, {after, before}, {after}} {
		next := start(keys...)
		eventually(t, "the new node knows", func() bool { return refuses(t, next, ana.Token) })
		looks := clustertest.StartNode(t, cluster.Options{Bus: exchange.Bus(), Keys: keys})
		<-looks.Ready()
		eventually(t, "the table is signed with the first key", func() bool {
			entries, err := looks.Entries(t.Context(), "revoked")
			return err == nil && len(entries) == 1 && !entries["token:"+ana.ID].Outdated
		})
	}
}

// A node that was cut off learns of revocations when it is back, and disconnects the
// sockets that they concern.
func TestNodesThatWereAwayLearnWhatIsRevoked(t *testing.T) {
	nodes, exchange := brokertest.StartCluster(t, 2, broker.Options{})
	ana, ben := issueTo(t, nodes[0], "ana"), issueTo(t, nodes[0], "ben")
	here, there := nodes[1].JoinAs(ana.Token), nodes[0].JoinAs(ben.Token)
	exchange.SetDown(true)
	exchange.Clear() // it forgets even what it had
	for _, node := range nodes {
		eventually(t, "the nodes notice", node.Isolated)
	}
	if out, err := nodes[0].RevokeTokens(t.Context(), broker.RevokeTokens{TokenID: ana.ID}); err != nil || !out.Partial || out.Matched != 0 {
		t.Errorf("RevokeTokens: %+v, %v", out, err)
	}
	if out, err := nodes[1].RevokeTokens(t.Context(), broker.RevokeTokens{User: "ben"}); err != nil || !out.Partial || out.Matched != 0 {
		t.Errorf("RevokeTokens: %+v, %v", out, err)
	}
	here.ExpectNothing()
	there.ExpectNothing()
	exchange.SetDown(false)
	here.Expect("sala:disconnect", `[{"code":"TOKEN_REVOKED","reason":"the token has been revoked"}]`)
	there.Expect("sala:disconnect", `[{"code":"TOKEN_REVOKED","reason":"the token has been revoked"}]`)
	for _, node := range nodes {
		if !refuses(t, node, ana.Token) || !refuses(t, node, ben.Token) {
			t.Error("a node doesn't refuse what is revoked")
		}
	}
}

// A Redis that restarts has lost everything; the nodes haven't.
func TestWhatIsRevokedIsAddedAgain(t *testing.T) {
	exchange := clustertest.NewExchange()
	node := startOn(t, exchange)
	eventually(t, "it is connected", func() bool { return !node.Isolated() })
	ana := issueTo(t, node, "ana")
	if _, err := node.RevokeTokens(t.Context(), broker.RevokeTokens{User: "ana"}); err != nil {
		t.Fatal(err)
	}
	exchange.SetDown(true)
	exchange.Clear()
	exchange.SetDown(false)
	bus := exchange.Bus()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- bus.Run(ctx, nobody{}) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "the table has it again", func() bool {
		entries, err := bus.Entries(ctx, "sala:table:revoked")
		return err == nil && len(entries) == 1
	})
	later := startOn(t, exchange)
	eventually(t, "the new node knows", func() bool { return refuses(t, later, ana.Token) })
}

// nobody ignores what arrives on a bus.
type nobody struct{}

func (nobody) Received(cluster.Message)   {}
func (nobody) StateChanged(cluster.State) {}
func (nobody) Lost(int)                   {}

// If two nodes know different revocations of a user, both learn of the later one, and
// so does the table.
func TestTheLaterTimeOfAUserCounts(t *testing.T) {
	for _, first := range []int{0, 1} {
		nodes, exchange := brokertest.StartCluster(t, 2, broker.Options{})
		exchange.SetDown(true)
		for _, node := range nodes {
			eventually(t, "the nodes notice", node.Isolated)
		}
		ana := issueTo(t, nodes[0], "ana")
		for i, before := range []time.Time{time.Now().Add(-time.Hour), {}} {
			node := nodes[(first+i)%2]
			if _, err := node.RevokeTokens(t.Context(), broker.RevokeTokens{User: "ana", IssuedBefore: before}); err != nil {
				t.Fatal(err)
			}
			if refuses(t, node, ana.Token) != before.IsZero() {
				t.Fatalf("whether the token is refused is wrong at node %d", i)
			}
		}
		exchange.SetDown(false)
		for _, node := range append(nodes, startOn(t, exchange)) {
			eventually(t, "all know the later time", func() bool { return refuses(t, node, ana.Token) })
		}
	}
}

// TestRevocationsOnAReadOnlyBus: what can't be stored says so, reaches a node that starts
// meanwhile all the same, and is stored once that can be.
func TestRevocationsOnAReadOnlyBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exchange := clustertest.NewExchange()
		var buses []cluster.Bus
		start := func(readOnly bool) *brokertest.Node {
			bus := exchange.Bus()
			if readOnly {
				exchange.SetFault(bus, clustertest.ReadOnly)
			}
			buses = append(buses, bus)
			node := brokertest.StartInMemory(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: bus}})
			<-time.After(10 * time.Second)
			return node
		}
		first, second := start(true), start(true)
		ana, ben := issueTo(t, first, "ana"), issueTo(t, first, "ben")
		<-time.After(time.Second) // what is issued at the moment is no older than its revocation
		for _, r := range []broker.RevokeTokens{{TokenID: ana.ID}, {User: "ben"}} {
			out, err := first.RevokeTokens(t.Context(), r)
			if err != nil || out.Partial || !out.NotStored {
				t.Errorf("%+v on a read-only bus: %+v, %v", r, out, err)
			}
		}
		third := start(true)
		for i, node := range []*brokertest.Node{first, second, third} {
			if !refuses(t, node, ana.Token) || !refuses(t, node, ben.Token) {
				t.Errorf("node %d accepts what is revoked", i)
			}
			if err := node.ClusterTrouble(); err == nil {
				t.Errorf("node %d is in no trouble", i)
			}
		}
		for _, bus := range buses {
			exchange.SetFault(bus, clustertest.Healthy)
		}
		<-time.After(10 * time.Second)
		if err := first.ClusterTrouble(); err != nil {
			t.Errorf("the trouble isn't over: %v", err)
		}
		for _, bus := range buses { // so that nobody can tell the next but the table
			exchange.SetFault(bus, clustertest.Severed)
		}
		fourth := start(false)
		if !refuses(t, fourth, ana.Token) || !refuses(t, fourth, ben.Token) {
			t.Error("a node that starts later accepts what is revoked")
		}
		if out, err := fourth.RevokeTokens(t.Context(), broker.RevokeTokens{User: "eve"}); err != nil || out.NotStored {
			t.Errorf("on a bus that can be written: %+v, %v", out, err)
		}
	})
}
