package clustertest

import (
	"slices"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// A subscriber that isn't a node is neither waited for nor missing, and isn't mistaken for a node.
func testForeign(t *testing.T, n Network) {
	all := nodes(t, n, 3)
	room := cluster.RoomTopic("/", "lobby")
	all[1].Join(room)
	foreign := connect(t, n)
	foreign.subscribe("sala:topic:"+string(room), "sala:nodes", "sala:node:"+string(all[2].ID()))
	for range 3 {
		// It must return long before the timeout.
		result, err := all[0].PublishAndWait(within(t, time.Hour), cluster.Route{Topic: room}, nil)
		if err != nil || len(result.Replies) != 1 || result.Partial() {
			t.Fatalf("with a foreign subscriber: %+v, %v", result, err)
		}
	}
	for _, route := range []cluster.Route{{Topic: room}, {Nodes: []cluster.NodeID{all[1].ID(), all[2].ID()}}} {
		if result, err := all[1].PublishAndWait(within(t, time.Hour), route, nil); err != nil || result.Partial() {
			t.Errorf("with a foreign subscriber, to %+v: %+v, %v", route, result, err)
		}
	}
	if result, err := all[0].CallAll(within(t, time.Hour), nil); err != nil || result.Partial() {
		t.Errorf("a call with a foreign subscriber: %+v, %v", result, err)
	}
}

// Whatever happens to one node's connections, it is missing by name in the results of other nodes
// from the first call on, and it finds out by itself.
func testCutOff(t *testing.T, n Network) {
	if n.Faulty == nil {
		t.Skip("a network without faults")
	}
	for name, fault := range map[string]Fault{
		"severed": Severed, "unsubscribed": Unsubscribed, "deaf": Deaf, "mute": Mute, "stalled": Stalled,
	} {
		t.Run(name, func(t *testing.T) { cutOff(t, n, fault) })
	}
}

func cutOff(t *testing.T, n Network, fault Fault) {
	all := nodes(t, n, 2)
	bus, set := n.Faulty()
	broken := StartNode(t, cluster.Options{Bus: bus, Keys: [][]byte{[]byte(testKeyText)}})
	everybody := append(slices.Clone(all), broken)
	room := cluster.RoomTopic("/", "lobby")
	for _, node := range everybody {
		node.AwaitNodes(everybody...)
		node.Join(room)
	}
	ask := map[string]func(*Node) (cluster.Result, error){
		"a topic": func(node *Node) (cluster.Result, error) {
			return node.PublishAndWait(within(t, time.Second), cluster.Route{Topic: room}, nil)
		},
		"a topic without subscribers": func(node *Node) (cluster.Result, error) {
			return node.PublishAndWait(within(t, time.Second), cluster.Route{Topic: "nobody's"}, nil)
		},
		"nodes": func(node *Node) (cluster.Result, error) {
			return node.PublishAndWait(within(t, time.Second), cluster.Route{Nodes: []cluster.NodeID{all[1].ID(), broken.ID()}}, nil)
		},
		"all": func(node *Node) (cluster.Result, error) { return node.CallAll(within(t, time.Second), nil) },
		"some": func(node *Node) (cluster.Result, error) {
			return node.Call(within(t, time.Second), []cluster.NodeID{all[1].ID(), broken.ID()}, nil)
		},
	}
	for what, ask := range ask {
		if result, err := ask(all[0]); err != nil || result.Partial() {
			t.Fatalf("before, %s: %+v, %v", what, result, err)
		}
	}
	set(fault)
	// While the bus still sees the node as present, it can't be missing from topics that it doesn't
	// want.
	present := fault == Deaf || fault == Mute || fault == Stalled
	for what, ask := range ask {
		result, err := ask(all[0])
		if what == "a topic without subscribers" && present {
			continue
		}
		if !all[0].HasNode(broken.ID()) {
			continue // it is known to be lost
		}
		if err != nil || !slices.Equal(result.Missing, []cluster.NodeID{broken.ID()}) || result.Unnamed > 0 {
			t.Errorf("%s: %+v, %v; want %s missing", what, result, err, broken.ID())
		}
	}
	broken.Await("the node to find out", func() bool { return broken.State() == cluster.Disconnected && broken.Health() != nil })
	set(Healthy)
	broken.Await("the node to be back", func() bool { return broken.State() == cluster.Connected && broken.Health() == nil })
	for _, node := range everybody {
		node.AwaitNodes(everybody...)
	}
	broken.Join(room)
	all[0].Await("complete results", func() bool {
		for _, ask := range ask {
			if result, err := ask(all[0]); err != nil || result.Partial() {
				return false
			}
		}
		return true
	})
}
