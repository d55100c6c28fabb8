package clustertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// Node is a running [cluster.Mesh] that records what its handler and observer are told.
type Node struct {
	*cluster.Mesh
	// Stop makes the node leave, and waits until it has.
	Stop func()

	t testing.TB

	mu         sync.Mutex
	deliveries []cluster.Delivery
	events     []string // "joined x", "left x", "lost x", "rejoined"
	losses     map[cluster.LossReason]int
	answer     func(ctx context.Context, from cluster.NodeID, request []byte) ([]byte, error)
	change     chan struct{} // closed and replaced on each change
}

// StartNode runs a node until it is stopped or the test ends. It doesn't wait for the node to join.
// Only the option Bus is required.
func StartNode(t testing.TB, o cluster.Options) *Node {
	t.Helper()
	n := &Node{t: t, losses: make(map[cluster.LossReason]int), change: make(chan struct{})}
	o.Handler, o.Observer = n, observer{n}
	mesh, err := cluster.New(o)
	if err != nil {
		t.Fatalf("cluster.New: %v", err)
	}
	n.Mesh = mesh
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mesh.Run(ctx) }()
	n.Stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run doesn't return")
		}
	})
	t.Cleanup(n.Stop)
	return n
}

// Deliver implements [cluster.Handler]. Its answer is the node's id and the payload.
func (n *Node) Deliver(d cluster.Delivery) []byte {
	n.changed(func() { n.deliveries = append(n.deliveries, d) })
	return fmt.Appendf(nil, "%s got %s", n.ID(), d.Payload)
}

// Answer implements [cluster.Handler], with the function that [Node.OnCall] has set.
func (n *Node) Answer(ctx context.Context, from cluster.NodeID, request []byte) ([]byte, error) {
	n.mu.Lock()
	answer := n.answer
	n.mu.Unlock()
	if answer == nil {
		return fmt.Appendf(nil, "%s answers %s", n.ID(), request), nil
	}
	return answer(ctx, from, request)
}

// OnCall sets how the node answers calls.
func (n *Node) OnCall(answer func(ctx context.Context, from cluster.NodeID, request []byte) ([]byte, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}

// NodeJoined implements [cluster.Handler].
func (n *Node) NodeJoined(other cluster.Node) { n.event("joined " + string(other.ID)) }

// NodeLeft implements [cluster.Handler].
func (n *Node) NodeLeft(other cluster.Node) { n.event("left " + string(other.ID)) }

// NodeLost implements [cluster.Handler].
func (n *Node) NodeLost(other cluster.Node) { n.event("lost " + string(other.ID)) }

// Rejoined implements [cluster.Handler].
func (n *Node) Rejoined() { n.event("rejoined") }

func (n *Node) event(text string) {
	n.changed(func() { n.events = append(n.events, text) })
}

func (n *Node) changed(do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	do()
	close(n.change)
	n.change = make(chan struct{})
}

// Await waits until done returns true. done is called after every change.
func (n *Node) Await(what string, done func() bool) {
	n.t.Helper()
	timeout := time.After(patience)
	again := time.NewTicker(100 * time.Millisecond) // not every change of the mesh is recorded
	defer again.Stop()
	for {
		n.mu.Lock()
		change := n.change
		n.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-change:
		case <-again.C:
		case <-timeout:
			n.t.Fatalf("timed out waiting for %s", what)
		}
	}
}

// Events returns the membership changes that the node's handler was told: "joined ID", "left ID",
// "lost ID", and "rejoined".
func (n *Node) Events() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

// Deliveries returns the deliveries to the node.
func (n *Node) Deliveries() []cluster.Delivery {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.deliveries)
}

// Lost returns how many messages were lost for a reason.
func (n *Node) Lost(reason cluster.LossReason) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.losses[reason]
}

// AwaitEvent waits for a membership change.
func (n *Node) AwaitEvent(event string) {
	n.t.Helper()
	n.Await(fmt.Sprintf("%q, after %q", event, n.Events()), func() bool { return slices.Contains(n.Events(), event) })
}

// AwaitPayloads waits until exactly the payloads have been delivered.
func (n *Node) AwaitPayloads(want ...string) {
	n.t.Helper()
	n.Await(fmt.Sprintf("%d deliveries", len(want)), func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.deliveries) >= len(want)
	})
	var got []string
	for _, d := range n.Deliveries() {
		got = append(got, string(d.Payload))
	}
	if !slices.Equal(got, want) {
		n.t.Fatalf("the deliveries are %.200q, want %.200q", got, want)
	}
}

// AwaitLost waits until count messages have been lost for a reason.
func (n *Node) AwaitLost(reason cluster.LossReason, count int) {
	n.t.Helper()
	n.Await(fmt.Sprintf("%d messages lost because of %q", count, reason), func() bool { return n.Lost(reason) >= count })
}

// AwaitNodes waits until the node knows exactly the others and itself.
func (n *Node) AwaitNodes(others ...*Node) {
	n.t.Helper()
	want := []cluster.NodeID{n.ID()}
	for _, other := range others {
		if other != n {
			want = append(want, other.ID())
		}
	}
	slices.Sort(want)
	n.Await(fmt.Sprintf("%s to know %v", n.ID(), want), func() bool { return slices.Equal(n.known(), want) })
}

func (n *Node) known() []cluster.NodeID {
	var ids []cluster.NodeID
	for _, node := range n.Nodes() {
		ids = append(ids, node.ID)
	}
	slices.Sort(ids)
	return ids
}

// Join subscribes the node to a topic and waits until that is effective.
func (n *Node) Join(topic cluster.Topic) {
	n.t.Helper()
	if err := n.Mesh.Await(patience, n.Subscribe(topic)); err != nil {
		n.t.Fatalf("a subscription doesn't become effective: %v", err)
	}
}

// settle returns once all earlier changes of subscriptions are effective.
func (n *Node) settle() {
	n.t.Helper()
	for _, name := range barriers("sala:topic:") {
		n.Join(cluster.Topic(name))
	}
}

// observer counts the losses of a node.
type observer struct{ n *Node }

func (o observer) StateChanged(cluster.State)                    { o.n.changed(func() {}) }
func (o observer) Published(int, int)                            {}
func (o observer) Received(int)                                  {}
func (o observer) Answered(cluster.CallKind, time.Duration, int) {}
func (o observer) Lost(reason cluster.LossReason, messages int) {
	o.n.changed(func() { o.n.losses[reason] += messages })
}
