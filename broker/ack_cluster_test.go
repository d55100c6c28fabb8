package broker_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// lobbies returns three nodes, each with two clients in the lobby.
func lobbies(t *testing.T) (nodes []*brokertest.Node, clients []*brokertest.Client, exchange *clustertest.Exchange) {
	t.Helper()
	nodes, exchange = brokertest.StartCluster(t, 3, broker.Options{})
	return nodes, enterLobby(t, nodes), exchange
}

// enterLobby joins two clients of each of three nodes to the lobby.
func enterLobby(t *testing.T, nodes []*brokertest.Node) (clients []*brokertest.Client) {
	t.Helper()
	for i := range 6 {
		clients = append(clients, join(t, nodes[i/2], fmt.Sprint("user", i)))
	}
	eventually(t, "all are found", func() bool {
		room, err := nodes[0].GetRoom(t.Context(), "/", "lobby")
		return err == nil && room.Sockets == 6 && !room.Partial
	})
	return clients
}

func TestAcksOfAllNodes(t *testing.T) {
	nodes, clients, _ := lobbies(t)
	a := ask(t.Context(), t, nodes[0], everyoneInLobby, broker.AckOptions{})
	var users []string
	for i, c := range clients {
		e := question(t, c)
		switch i {
		case 1: // goes away
			c.Close()
		case 3: // binary
			c.Send("461-" + e.AckID + `[{"_placeholder":true,"num":0}]`)
			c.SendBinary([]byte{1, 2, 3})
		case 5:
			c.Close()
		default:
			c.Send("43" + e.AckID + fmt.Sprintf(`[%d]`, i))
			c.Send("43" + e.AckID + `["again"]`)
		}
	}
	for range 4 {
		ack := a.next()
		users = append(users, ack.User)
		i := slices.IndexFunc(clients, func(c *brokertest.Client) bool { return c.ID == ack.Socket })
		want, data := fmt.Sprintf(`[%d]`, i), [][]byte(nil)
		if i == 3 {
			want, data = `[{"_placeholder":true,"num":0}]`, [][]byte{{1, 2, 3}}
		}
		if string(ack.Args) != want || !reflect.DeepEqual(ack.Attachments, data) || ack.Latency <= 0 || ack.Latency > 10*time.Second {
			t.Errorf("the answer of client %d is %+v", i, ack)
		}
	}
	slices.Sort(users)
	if got := strings.Join(users, " "); got != "user0 user2 user3 user4" {
		t.Errorf("answers came of %s", got)
	}
	a.want(broker.AckSummary{Expected: 6, Answered: 4, Disconnected: 2})
}

func TestAcksOfAllNodesTimeOut(t *testing.T) { synctest.Test(t, acksOfAllNodesTimeOut) }

func acksOfAllNodesTimeOut(t *testing.T) {
	nodes, _ := brokertest.StartClusterInMemory(t, 3, broker.Options{})
	clients := enterLobby(t, nodes)
	a := ask(t.Context(), t, nodes[1], everyoneInLobby, broker.AckOptions{Timeout: 300 * time.Millisecond})
	for i, c := range clients {
		if e := question(t, c); i < 3 {
			c.Send("43" + e.AckID + "[]")
		}
	}
	for range 3 {
		a.next()
	}
	a.want(broker.AckSummary{Expected: 6, Answered: 3, TimedOut: 3})
}

func TestAcksOfNobodyAnywhere(t *testing.T) {
	nodes, clients, _ := lobbies(t)
	a := ask(t.Context(), t, nodes[0], broker.Target{Rooms: []string{"empty"}}, broker.AckOptions{})
	a.want(broker.AckSummary{})
	// One socket that is elsewhere.
	a = ask(t.Context(), t, nodes[0], broker.Target{Sockets: []string{clients[5].ID}}, broker.AckOptions{})
	clients[5].Send("43" + question(t, clients[5]).AckID + "[1]")
	if ack := a.next(); ack.Socket != clients[5].ID {
		t.Errorf("the answer is %+v", ack)
	}
	a.want(broker.AckSummary{Expected: 1, Answered: 1})
}

// Once there are enough acks, or the caller has gone, no node waits any longer. Later
// acks count as late.
func TestOtherNodesStopWaiting(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, a *asked, cancel func()){
		"enough have answered": func(_ *testing.T, a *asked, _ func()) {
			a.next()
			a.want(broker.AckSummary{Expected: 6, Answered: 1})
		},
		"the caller has gone": func(t *testing.T, a *asked, cancel func()) {
			a.next()
			cancel()
			<-a.done
			if !errors.Is(a.err, context.Canceled) {
				t.Errorf("the error is %v", a.err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, clients, _ := lobbies(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			minAcks := 0
			if strings.HasPrefix(name, "enough") {
				minAcks = 1
			}
			a := ask(ctx, t, nodes[0], everyoneInLobby, broker.AckOptions{MinAcks: minAcks, Timeout: time.Minute})
			var ids []string
			for _, c := range clients {
				ids = append(ids, question(t, c).AckID)
			}
			clients[4].Send("43" + ids[4] + "[]")
			stop(t, a, cancel)
			for _, node := range nodes {
				eventually(t, "nobody is waited for", func() bool { return broker.PendingAcks(node.Broker) == 0 })
			}
		})
	}
}

// withFrozen returns two nodes with a client each in the lobby. The second one can be
// frozen.
func withFrozen(t *testing.T) (a, b *brokertest.Node, here, there *brokertest.Client, freezer *clustertest.Freezer) {
	t.Helper()
	exchange := clustertest.NewExchange()
	freezer = &clustertest.Freezer{Bus: exchange.Bus()}
	a = brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
	b = brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: freezer}})
	here, there = join(t, a, "ana"), join(t, b, "ben")
	eventually(t, "both are found", func() bool {
		room, err := a.GetRoom(t.Context(), "/", "lobby")
		return err == nil && room.Sockets == 2 && !room.Partial
	})
	return a, b, here, there, freezer
}

// A node that freezes or is lost while it waits for acks is named in the result, and
// its sockets count as disconnected.
func TestAcksOfAFrozenNode(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"until the end": 200 * time.Millisecond, "and is lost": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _, here, there, freezer := withFrozen(t)
			asked := ask(t.Context(), t, a, everyoneInLobby, broker.AckOptions{Timeout: timeout})
			question(t, there)
			id := question(t, here).AckID
			eventually(t, "it has said whom it asks", func() bool { return broker.RequestedAcks(a.Broker) == 2 })
			freezer.Freeze()
			defer freezer.Thaw()
			here.Send("43" + id + "[]")
			asked.next()
			asked.want(broker.AckSummary{Expected: 2, Answered: 1, Disconnected: 1, PartialResult: missing(there)})
		})
	}
}

// No node waits for acks on behalf of one that is gone.
func TestAcksForANodeThatIsLost(t *testing.T) {
	t.Parallel()
	a, b, here, there, freezer := withFrozen(t)
	ctx, cancel := context.WithCancel(t.Context())
	asked := ask(ctx, t, b, everyoneInLobby, broker.AckOptions{Timeout: time.Minute})
	question(t, there)
	question(t, here)
	eventually(t, "both nodes have asked their sockets", func() bool { return broker.PendingAcks(a.Broker) == 1 && broker.RequestedAcks(b.Broker) == 2 })
	freezer.Freeze()
	eventually(t, "nobody waits any more", func() bool { return broker.PendingAcks(a.Broker) == 0 })
	freezer.Thaw()
	cancel()
	<-asked.done
}

// A node that replies too late still takes part if its acks come before all the
// others'.
func TestAcksOfANodeThatIsLate(t *testing.T) {
	t.Parallel()
	a, _, here, there, freezer := withFrozen(t)
	last := join(t, a, "amy")
	for _, thaws := range []bool{true, false} {
		freezer.Freeze()
		asked := ask(t.Context(), t, a, everyoneInLobby, broker.AckOptions{Timeout: time.Minute})
		id := question(t, here).AckID
		question(t, last)
		here.Send("43" + id + "[]")
		asked.next() // which says that others aren't waited for any more
		want := broker.AckSummary{Expected: 2, Answered: 2, PartialResult: missing(there)}
		if thaws {
			want = broker.AckSummary{Expected: 3, Answered: 3}
			freezer.Thaw()
			there.Send("43" + question(t, there).AckID + "[]")
			asked.next()
		}
		last.Send("43" + id + "[]")
		asked.next()
		asked.want(want)
		if !thaws {
			freezer.Thaw()
			question(t, there)
		}
	}
}

// Acks that are too large for one message between nodes come in several.
func TestAcksOfAllNodesThatAreLarge(t *testing.T) {
	nodes, clients, _ := lobbies(t)
	a := ask(t.Context(), t, nodes[0], everyoneInLobby, broker.AckOptions{Timeout: time.Minute})
	large := `["` + strings.Repeat("x", 900_000) + `"]`
	for _, c := range clients {
		c.Send("43" + question(t, c).AckID + large)
	}
	for range clients {
		if ack := a.next(); string(ack.Args) != large {
			t.Errorf("the answer of %s has %d bytes", ack.User, len(ack.Args))
		}
	}
	a.want(broker.AckSummary{Expected: 6, Answered: 6})
}

// missing is a partial result without the nodes of some clients.
func missing(clients ...*brokertest.Client) broker.PartialResult {
	c := broker.PartialResult{Partial: true}
	for _, client := range clients {
		c.Missing = append(c.Missing, client.ID[:cluster.NodeIDBytes])
	}
	slices.Sort(c.Missing)
	return c
}

// While the bus is down, only the sockets of the node that is called are asked.
func TestAcksWithoutTheBus(t *testing.T) {
	nodes, clients, exchange := lobbies(t)
	exchange.SetDown(true)
	eventually(t, "the node notices", nodes[0].Isolated)
	a := ask(t.Context(), t, nodes[0], everyoneInLobby, broker.AckOptions{Timeout: time.Minute})
	for _, c := range clients[:2] {
		c.Send("43" + question(t, c).AckID + "[]")
		a.next()
	}
	a.want(broker.AckSummary{Expected: 2, Answered: 2, PartialResult: missing(clients[2], clients[4])})
}
