// Package brokertest runs brokers and clients inside a test.
package brokertest

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/token"
)

// Secret is the secret of the keyring that [Start] makes.
const Secret = "a secret for tests that is long enough"

// Node is a broker that listens on a free port of the loopback interface.
type Node struct {
	*broker.Broker
	// URL is the public listener, such as "http://127.0.0.1:1234".
	URL string

	t    testing.TB
	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil over the network
}

// Start runs a broker until the test ends. Options that are left out get
// defaults; tokens are checked with [Secret]. In a cluster, other nodes reach it.
func Start(t testing.TB, o broker.Options) *Node {
	t.Helper()
	return start(t, o, nil)
}

// StartInMemory is Start for a bubble of testing/synctest: WebSocket clients reach
// the broker without a network, so that time passes only while everybody waits.
// They come from 127.0.0.1.
func StartInMemory(t testing.TB, o broker.Options) *Node {
	t.Helper()
	return start(t, o, newPipes())
}

func start(t testing.TB, o broker.Options, memory *pipes) *Node {
	t.Helper()
	if o.Tokens == nil {
		o.Tokens = Keyring(t, token.Options{})
	}
	server := httptest.NewUnstartedServer(nil)
	if o.Cluster != nil && o.Cluster.URL == "" && memory == nil {
		joined := *o.Cluster
		joined.URL = "http://" + server.Listener.Addr().String()
		o.Cluster = &joined
	}
	b, err := broker.New(o)
	if err != nil {
		_ = server.Listener.Close()
		t.Fatalf("broker.New: %v", err)
	}
	node := &Node{Broker: b, t: t}
	server.Config.Handler = b.Handler()
	if memory != nil {
		_ = server.Listener.Close()
		server.Listener, node.dial = memory, memory.dial
	}
	server.Start()
	node.URL = server.URL
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- b.Run(running) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		stop()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		server.Close()
	})
	return node
}

// StartCluster runs a broker of n nodes on one bus in memory, which is returned
// too, and returns once each knows the others and has heard them.
func StartCluster(t testing.TB, n int, o broker.Options) ([]*Node, *clustertest.Exchange) {
	t.Helper()
	return startCluster(t, n, o, Start)
}

// StartClusterInMemory is StartCluster for a bubble of testing/synctest, with nodes that
// [StartInMemory] runs.
func StartClusterInMemory(t testing.TB, n int, o broker.Options) ([]*Node, *clustertest.Exchange) {
	t.Helper()
	return startCluster(t, n, o, StartInMemory)
}

func startCluster(t testing.TB, n int, o broker.Options, run func(testing.TB, broker.Options) *Node) ([]*Node, *clustertest.Exchange) {
	t.Helper()
	exchange := clustertest.NewExchange()
	nodes := make([]*Node, n)
	for i := range nodes {
		each := o
		each.Cluster = &broker.ClusterOptions{Bus: exchange.Bus()}
		nodes[i] = run(t, each)
	}
	deadline := time.After(patience)
	for _, node := range nodes {
		for {
			list, err := node.ListNodes(t.Context())
			if err == nil && len(list.Nodes) == n && !list.Partial {
				rooms, err := node.ListRooms(t.Context(), broker.RoomQuery{}) // which all others answer
				if err == nil && !rooms.Partial {
					break
				}
			}
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("a node knows %+v, %v; want %d nodes", list, err, n)
			}
		}
	}
	return nodes, exchange
}

// Keyring returns a keyring over o, with [Secret] if o has no key.
func Keyring(t testing.TB, o token.Options) *token.Keyring {
	t.Helper()
	if len(o.Keys) == 0 {
		o.Keys = []token.Key{{Secret: []byte(Secret)}}
	}
	ring, err := token.NewKeyring(o)
	if err != nil {
		t.Fatalf("token.NewKeyring: %v", err)
	}
	return ring
}

// Everything is what a client needs that may do anything.
var Everything = broker.Permissions{Join: []string{"**"}, Publish: []string{"**"}, Broadcast: true}

// Token issues a token.
func (n *Node) Token(user string, p broker.Permissions) string {
	n.t.Helper()
	issued, err := n.IssueToken(n.t.Context(), broker.TokenRequest{User: user, Permissions: p})
	if err != nil {
		n.t.Fatalf("IssueToken: %v", err)
	}
	return issued.Token
}
