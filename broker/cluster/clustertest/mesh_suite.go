package clustertest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// TestMesh checks that nodes on a network keep the contract of [cluster.Mesh]. make returns a
// network that nothing else uses at the time.
func TestMesh(t *testing.T, make func(t *testing.T) Network) {
	for name, test := range map[string]func(*testing.T, Network){
		"nodes find each other":                testNodes,
		"publishes to subscribers":             testPublish,
		"keeps a publisher's order":            testPublishOrder,
		"returns the answers of subscribers":   testPublishAndWait,
		"names nodes that don't get it":        testPublishAndWaitPartial,
		"calls all and some":                   testCall,
		"names nodes that don't answer":        testCallPartial,
		"refuses while down and then resumes":  testMeshDown,
		"accepts only nodes with the key":      testKey,
		"shares tables":                        testMeshTables,
		"shares values":                        testMeshValues,
		"rotates keys while it runs":           testKeyRotation,
		"marks entries of an old key":          testOutdated,
		"doesn't wait for foreign subscribers": testForeign,
		"names a node that is cut off":         testCutOff,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

// testKeyText is the key of the cluster in these tests.
const testKeyText = "a key for tests that is long enough"

// nodes starts nodes and waits until they know and have heard each other.
func nodes(t *testing.T, n Network, count int) []*Node {
	t.Helper()
	all := make([]*Node, count)
	for i := range all {
		all[i] = StartNode(t, cluster.Options{
			Bus: n.Bus(), Keys: [][]byte{[]byte(testKeyText)},
			Info: func() cluster.Info { return cluster.Info{Version: "v" + strconv.Itoa(i), Sockets: uint32(i)} }, //nolint:gosec // a few
		})
	}
	for _, node := range all {
		node.AwaitNodes(all...)
	}
	for _, node := range all { // the answers are messages, too
		if result, err := node.CallAll(within(t, patience), nil); err != nil || result.Partial() {
			t.Fatalf("CallAll: %+v, %v", result, err)
		}
	}
	return all
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func testNodes(t *testing.T, n Network) {
	all := nodes(t, n, 3)
	for i, node := range all {
		<-node.Ready()
		for _, seen := range node.Nodes() {
			j := slices.IndexFunc(all, func(n *Node) bool { return n.ID() == seen.ID })
			if seen.Version != "v"+strconv.Itoa(j) || seen.Incarnation != 1 {
				t.Errorf("node %d sees node %d as %+v", i, j, seen)
			}
		}
	}
	all[2].Stop()
	for _, node := range all[:2] {
		node.AwaitEvent("left " + string(all[2].ID()))
		node.AwaitNodes(all[:2]...)
		if slices.Contains(node.Events(), "lost "+string(all[2].ID())) {
			t.Error("a node that has left was taken for lost")
		}
	}
	if err := all[2].Publish(cluster.Route{Topic: "x"}, nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("Publish after Run: %v, want ErrUnavailable", err)
	}
}

func testPublish(t *testing.T, n Network) {
	all := nodes(t, n, 4)
	a, b, c, d := all[0], all[1], all[2], all[3]
	room, everyone := cluster.RoomTopic("/", "lobby"), cluster.EveryoneTopic("/")
	a.Join(room)
	b.Join(room)
	b.Join(room)
	b.Join(everyone)
	c.Join(everyone)

	publish := func(to cluster.Route, payload string) {
		t.Helper()
		if err := a.Publish(to, []byte(payload)); err != nil {
			t.Fatalf("Publish: %v", err)
		}
	}
	// One by one, because there is no order between topics.
	publish(cluster.Route{Topic: room}, "to the room")
	b.AwaitPayloads("to the room")
	publish(cluster.Route{Topic: everyone}, "to everyone")
	c.AwaitPayloads("to everyone")
	publish(cluster.Route{Nodes: []cluster.NodeID{c.ID(), a.ID(), d.ID(), c.ID()}}, "to c and d")
	c.AwaitPayloads("to everyone", "to c and d")
	d.AwaitPayloads("to c and d")
	b.AwaitPayloads("to the room", "to everyone")
	if got := b.Deliveries()[0]; got.From != a.ID() || got.Topic != room || got.WantsAnswer {
		t.Errorf("the delivery is %+v", got)
	}

	// A subscription ends with the last Unsubscribe.
	b.Unsubscribe(room)
	b.settle()
	publish(cluster.Route{Topic: room}, "again")
	b.AwaitPayloads("to the room", "to everyone", "again")
	b.Unsubscribe(room)
	b.settle()
	publish(cluster.Route{Topic: room}, "nobody's")
	if result, err := a.PublishAndWait(within(t, patience), cluster.Route{Topic: room}, nil); err != nil || len(result.Replies) != 0 {
		t.Errorf("a room without subscribers: %+v, %v", result, err)
	}
	publish(cluster.Route{Nodes: []cluster.NodeID{b.ID()}}, "last")
	b.AwaitPayloads("to the room", "to everyone", "again", "last")
	if got := a.Deliveries(); len(got) != 0 {
		t.Errorf("the publisher got its own: %+v", got)
	}
	if err := a.Publish(cluster.Route{Topic: room}, make([]byte, 9<<20)); !errors.Is(err, cluster.ErrTooLarge) {
		t.Errorf("Publish of 9 MiB: %v, want ErrTooLarge", err)
	}
}

func testPublishOrder(t *testing.T, n Network) {
	all := nodes(t, n, 2)
	room := cluster.RoomTopic("/", "lobby")
	all[1].Join(room)
	var want []string
	for i := range 3000 {
		want = append(want, strconv.Itoa(i))
		if err := all[0].Publish(cluster.Route{Topic: room}, []byte(want[i])); err != nil {
			t.Fatalf("Publish: %v", err)
		}
	}
	all[1].AwaitPayloads(want...)
}

func testPublishAndWait(t *testing.T, n Network) {
	all := nodes(t, n, 4)
	a, b, c := all[0], all[1], all[2]
	room := cluster.RoomTopic("/", "lobby")
	report := func(to cluster.Route, want ...*Node) {
		t.Helper()
		result, err := a.PublishAndWait(within(t, patience), to, []byte("hello"))
		if err != nil || result.Partial() {
			t.Fatalf("PublishAndWait: %+v, %v", result, err)
		}
		var got, expected []string
		for _, reply := range result.Replies {
			got = append(got, string(reply.Payload))
		}
		for _, node := range want {
			expected = append(expected, string(node.ID())+" got hello")
		}
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("the answers are %q, want %q", got, expected)
		}
	}
	report(cluster.Route{Topic: room})
	b.Join(room)
	report(cluster.Route{Topic: room}, b)
	c.Join(room)
	a.Join(room) // the bus counts it, but it needn't answer
	report(cluster.Route{Topic: room}, b, c)
	report(cluster.Route{Nodes: []cluster.NodeID{c.ID(), all[3].ID(), a.ID()}}, c, all[3])
	report(cluster.Route{Nodes: []cluster.NodeID{a.ID()}})
	if got := b.Deliveries()[0]; !got.WantsAnswer {
		t.Errorf("delivered was %+v, want it reported", got)
	}
}

func testPublishAndWaitPartial(t *testing.T, n Network) {
	all := nodes(t, n, 2)
	// A node that doesn't exist is known at once.
	result, err := all[0].PublishAndWait(within(t, time.Hour), cluster.Route{Nodes: []cluster.NodeID{all[1].ID(), "NOBODY0000"}}, nil)
	if err != nil || len(result.Replies) != 1 || !slices.Equal(result.Missing, []cluster.NodeID{"NOBODY0000"}) {
		t.Errorf("to a node that isn't there: %+v, %v", result, err)
	}
}

func testCall(t *testing.T, n Network) {
	all := nodes(t, n, 4)
	a := all[0]
	all[3].OnCall(func(context.Context, cluster.NodeID, []byte) ([]byte, error) { return nil, errors.New("can't") })
	result, err := a.CallAll(within(t, patience), []byte("who?"))
	if err != nil || !result.Partial() || len(result.Missing) > 0 || len(result.Replies) != 3 {
		t.Fatalf("CallAll: %+v, %v", result, err)
	}
	for _, reply := range result.Replies {
		var remote *cluster.RemoteError
		switch want := string(reply.Node) + " answers who?"; {
		case reply.Node == all[3].ID():
			if !errors.As(reply.Err, &remote) || remote.Message != "can't" || remote.Node != reply.Node {
				t.Errorf("the node that can't answers %+v", reply)
			}
		case reply.Err != nil || string(reply.Payload) != want:
			t.Errorf("%+v, want %q", reply, want)
		}
	}
	result, err = a.Call(within(t, patience), []cluster.NodeID{all[1].ID(), a.ID(), all[1].ID()}, []byte("you?"))
	if err != nil || result.Partial() || len(result.Replies) != 1 {
		t.Errorf("Call: %+v, %v", result, err)
	}
	if result, err := a.Call(within(t, patience), nil, nil); err != nil || len(result.Replies) != 0 {
		t.Errorf("Call to nobody: %+v, %v", result, err)
	}
	if _, err := a.CallAll(within(t, patience), make([]byte, 9<<20)); !errors.Is(err, cluster.ErrTooLarge) {
		t.Errorf("CallAll with 9 MiB: %v, want ErrTooLarge", err)
	}
	all[1].OnCall(func(context.Context, cluster.NodeID, []byte) ([]byte, error) { return make([]byte, 9<<20), nil })
	result, err = a.Call(within(t, patience), []cluster.NodeID{all[1].ID()}, nil)
	if err != nil || len(result.Replies) != 1 || result.Replies[0].Err == nil {
		t.Errorf("an answer of 9 MiB: %v, want an error in the reply", err)
	}
}

func testCallPartial(t *testing.T, n Network) {
	all := nodes(t, n, 3)
	a, slow := all[0], all[2]
	asked := make(chan struct{}, 2)
	slow.OnCall(func(ctx context.Context, _ cluster.NodeID, _ []byte) ([]byte, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	missing := func(result cluster.Result, err error, want cluster.NodeID) {
		t.Helper()
		if err != nil || len(result.Replies) != 1 || !slices.Equal(result.Missing, []cluster.NodeID{want}) {
			t.Errorf("%+v, %v; want one reply, and %s missing", result, err, want)
		}
	}
	result, err := a.CallAll(within(t, 300*time.Millisecond), nil)
	<-asked
	missing(result, err, slow.ID())
	// A node that doesn't exist is known at once.
	result, err = a.Call(within(t, time.Hour), []cluster.NodeID{all[1].ID(), "NOBODY0000"}, nil)
	missing(result, err, "NOBODY0000")
	// A node that leaves meanwhile is known as soon as it has left.
	leaves := make(chan struct{})
	go func() {
		defer close(leaves)
		<-asked
		slow.Stop()
	}()
	result, err = a.CallAll(within(t, time.Hour), nil)
	<-leaves
	missing(result, err, slow.ID())
	// A caller that cancels gets its own error.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.CallAll(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled CallAll: %v", err)
	}
}

func testMeshDown(t *testing.T, n Network) {
	all := nodes(t, n, 2)
	a, b := all[0], all[1]
	room := cluster.RoomTopic("/", "lobby")
	b.Join(room)
	down := make(chan struct{})
	b.OnCall(func(ctx context.Context, _ cluster.NodeID, _ []byte) ([]byte, error) {
		n.SetDown(true)
		close(down)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := a.CallAll(within(t, time.Minute), nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("a call during which the network goes down: %v, want ErrUnavailable", err)
	}
	<-down
	b.Await("the other node to notice", func() bool { return b.State() == cluster.Disconnected })
	if err := a.Publish(cluster.Route{Topic: room}, nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("Publish: %v, want ErrUnavailable", err)
	}
	if _, err := a.PublishAndWait(within(t, time.Hour), cluster.Route{Topic: room}, nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("PublishAndWait: %v, want ErrUnavailable", err)
	}
	if _, err := a.CallAll(within(t, time.Hour), nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("CallAll: %v, want ErrUnavailable", err)
	}
	if _, err := a.Call(within(t, time.Hour), []cluster.NodeID{b.ID()}, nil); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("Call: %v, want ErrUnavailable", err)
	}
	joined := b.Subscribe(cluster.RoomTopic("/", "another"))
	if err := b.Mesh.Await(time.Hour, joined); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("Await: %v, want ErrUnavailable", err)
	}

	n.SetDown(false)
	a.Await("the network", func() bool { return a.State() == cluster.Connected })
	b.Await("the network", func() bool { return b.State() == cluster.Connected })
	b.Join(room)
	if err := b.Mesh.Await(patience, joined); err != nil {
		t.Errorf("Await: %v", err)
	}
	if err := a.Publish(cluster.Route{Topic: room}, []byte("again")); err != nil {
		t.Errorf("Publish: %v", err)
	}
	b.AwaitPayloads("again")
	for _, node := range all {
		node.AwaitNodes(all...)
		for _, event := range node.Events() {
			if !strings.HasPrefix(event, "joined ") {
				t.Errorf("the outage was taken for %q", event)
			}
		}
	}
}
