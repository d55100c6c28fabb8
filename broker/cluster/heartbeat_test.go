package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// frozen is a node that can be frozen.
type frozen struct {
	*clustertest.Node
	bus *clustertest.Freezer
}

func start(t *testing.T, x *clustertest.Exchange) frozen {
	bus := &clustertest.Freezer{Bus: x.Bus()}
	return frozen{Node: clustertest.StartNode(t, cluster.Options{Bus: bus}), bus: bus}
}

// startAll starts nodes and waits until they know each other.
func startAll(t *testing.T, x *clustertest.Exchange, n int) []frozen {
	all := make([]frozen, n)
	for i := range all {
		all[i] = start(t, x)
	}
	for _, node := range all {
		node.AwaitNodes(plain(all)...)
	}
	return all
}

func plain(nodes []frozen) []*clustertest.Node {
	var all []*clustertest.Node
	for _, node := range nodes {
		all = append(all, node.Node)
	}
	return all
}

// A node that dies silently is lost within 5 s, and not before it was silent for 4 s minus the time
// between two heartbeats.
func TestSilentDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := startAll(t, clustertest.NewExchange(), 3)
		<-time.After(time.Minute + 700*time.Millisecond)
		died := time.Now()
		all[2].bus.Freeze()
		defer all[2].bus.Thaw()
		for _, node := range all[:2] {
			node.AwaitEvent("lost " + string(all[2].ID()))
			if took := time.Since(died); took > 5*time.Second || took < 3*time.Second {
				t.Errorf("it was noticed after %v, want 3 to 5 s", took)
			}
			node.AwaitNodes(plain(all[:2])...)
		}
	})
}

// A node that is frozen for 10 s learns afterwards that it was taken for lost, and rejoins.
func TestFrozenNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := startAll(t, clustertest.NewExchange(), 3)
		froze := all[2]
		froze.bus.Freeze()
		for _, node := range all[:2] {
			node.AwaitEvent("lost " + string(froze.ID()))
		}
		<-time.After(10 * time.Second)
		if all[0].HasNode(froze.ID()) {
			t.Error("a node that is lost is listed")
		}
		froze.bus.Thaw()
		froze.AwaitEvent("rejoined")
		for _, node := range all {
			node.AwaitNodes(plain(all)...)
		}
		if got := froze.Incarnation(); got != 2 {
			t.Errorf("its incarnation is %d, want 2", got)
		}
		<-time.After(time.Minute)
		lost, joined := "lost "+string(froze.ID()), "joined "+string(froze.ID())
		for _, node := range all[:2] {
			about := slices.DeleteFunc(node.Events(), func(e string) bool { return !strings.HasSuffix(e, string(froze.ID())) })
			if want := []string{joined, lost, joined}; !slices.Equal(about, want) {
				t.Errorf("of the frozen node was told %q, want %q", about, want)
			}
		}
		if events := froze.Events(); slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "lost") }) {
			t.Errorf("the frozen node took others for lost: %q", events)
		}
	})
}

// During an outage of the bus, no node is taken for lost. A node that doesn't come back from it is.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		all := startAll(t, x, 3)
		x.SetDown(true)
		all[2].Stop() // it can't tell the others
		<-time.After(time.Minute)
		if got := len(all[0].Nodes()); got != 3 {
			t.Errorf("during the outage a node knows %d nodes, want 3", got)
		}
		x.Clear()
		x.SetDown(false)
		back := time.Now()
		for _, node := range all[:2] {
			node.AwaitEvent("lost " + string(all[2].ID()))
			if took := time.Since(back); took > 5*time.Second {
				t.Errorf("it was noticed after %v", took)
			}
			node.AwaitNodes(plain(all[:2])...)
		}
		for _, node := range all[:2] {
			if got := node.Incarnation(); got != 1 {
				t.Errorf("a node that was never lost is in incarnation %d", got)
			}
		}
	})
}

// A quarter of all messages are lost. A node may be taken for lost, but the nodes end up knowing
// each other.
func TestLossyMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		all := make([]*clustertest.Node, 5)
		buses := make([]*clustertest.Lossy, len(all))
		for i := range all {
			buses[i] = &clustertest.Lossy{Bus: x.Bus(), Loss: 0.25, Random: rand.New(rand.NewPCG(uint64(i), 1))}
			all[i] = clustertest.StartNode(t, cluster.Options{Bus: buses[i]})
		}
		<-time.After(10 * time.Minute)
		for _, node := range all {
			node.AwaitNodes(all...)
		}
	})
}

// Nodes join, leave, die, freeze and come back, with outages in between. In the end each knows
// exactly the nodes that run.
func TestRandomMembership(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomMembership(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func randomMembership(t *testing.T, random *rand.Rand) {
	x := clustertest.NewExchange()
	var there, still []frozen
	take := func(from *[]frozen) frozen {
		i := random.IntN(len(*from))
		node := (*from)[i]
		*from = slices.Delete(*from, i, i+1)
		return node
	}
	defer func() {
		for _, node := range still {
			node.bus.Thaw()
		}
	}()
	for range 60 {
		switch action := random.IntN(7); {
		case action < 2 && len(there) < 8:
			there = append(there, start(t, x))
		case action == 2 && len(there) > 1:
			node := take(&there)
			node.Stop()
		case action == 3 && len(there) > 1:
			node := take(&there)
			node.bus.Freeze()
			still = append(still, node)
		case action == 4 && len(still) > 0:
			node := take(&still)
			node.bus.Thaw()
			there = append(there, node)
		case action == 5:
			x.SetDown(true)
			<-time.After(time.Duration(random.Int64N(int64(10 * time.Second))))
			x.SetDown(false)
		default:
			<-time.After(time.Duration(random.Int64N(int64(8 * time.Second))))
		}
	}
	<-time.After(15 * time.Second)
	for _, node := range there {
		node.AwaitNodes(plain(there)...)
	}
}

// Envelopes older than clocks may differ are refused, also by a node that hasn't got them before.
func TestOldEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := clustertest.NewExchange()
		keys := [][]byte{[]byte("a key for tests that is long enough")}
		node := func() *clustertest.Node {
			return clustertest.StartNode(t, cluster.Options{Bus: x.Bus(), Keys: keys})
		}
		a := node()
		recorder := &clustertest.Recorder{}
		clustertest.Run(t, x.Bus(), recorder, "sala:topic:"+string(cluster.EveryoneTopic("/")))
		<-a.Ready()
		if err := a.Publish(cluster.Route{Topic: cluster.EveryoneTopic("/")}, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		recorded := recorder.Messages()
		if len(recorded) != 1 {
			t.Fatalf("%d messages were recorded, want 1", len(recorded))
		}
		play := func() *clustertest.Node {
			fresh := node()
			<-fresh.Ready()
			fresh.Join(cluster.EveryoneTopic("/"))
			bus := x.Bus()
			clustertest.Run(t, bus, &clustertest.Recorder{})
			synctest.Wait()
			for range 2 {
				if _, err := bus.Publish(t.Context(), recorded, nil); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			return fresh
		}
		<-time.After(20 * time.Second)
		if fresh := play(); len(fresh.Deliveries()) != 1 || fresh.Lost(cluster.LostReplayed) != 1 {
			t.Errorf("played twice to a new node after 20 s: %d deliveries, %d replays",
				len(fresh.Deliveries()), fresh.Lost(cluster.LostReplayed))
		}
		<-time.After(11 * time.Second)
		if fresh := play(); len(fresh.Deliveries()) != 0 || fresh.Lost(cluster.LostClock) != 2 {
			t.Errorf("played twice to a new node after 31 s: %d deliveries, %d out of time",
				len(fresh.Deliveries()), fresh.Lost(cluster.LostClock))
		}
	})
}
