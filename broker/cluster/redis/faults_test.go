package redis_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// rounds returns how often a fault is repeated: SALA_FAULTS times, by default a few times.
func rounds(t *testing.T) int {
	text := os.Getenv("SALA_FAULTS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SALA_FAULTS is a number, not %q", text)
	}
	return n
}

// Kills the server again and again while one node publishes as fast as it can. Every node notices,
// refuses at once, and comes back by itself. Nothing arrives twice or out of order, and no node is
// taken for lost.
func TestRedisKilled(t *testing.T) {
	server := clustertest.Start(t)
	nodes := make([]*clustertest.Node, 3)
	for i := range nodes {
		nodes[i] = clustertest.StartNode(t, cluster.Options{Bus: bus(t, server.URL())})
	}
	room := cluster.RoomTopic("/", "lobby")
	for _, node := range nodes {
		node.AwaitNodes(nodes...)
		node.Join(room)
	}
	flood := startFlood(nodes[0], room)
	for range rounds(t) {
		server.Kill()
		for _, node := range nodes {
			node.Await("the node to notice", func() bool { return node.State() == cluster.Disconnected })
			if err := node.Publish(cluster.Route{Topic: room}, nil); !errors.Is(err, cluster.ErrUnavailable) {
				t.Fatalf("Publish: %v, want ErrUnavailable", err)
			}
		}
		server.Restart()
		before := flood.sent()
		for _, node := range nodes {
			node.Await("the node to be back", func() bool { return node.State() == cluster.Connected })
		}
		for _, node := range nodes[1:] {
			node.Await("messages again", func() bool { return latest(t, node) > before })
		}
	}
	flood.stop(t)
	for _, node := range nodes[1:] {
		inOrder(t, node)
		for _, event := range node.Events() {
			if !strings.HasPrefix(event, "joined ") {
				t.Errorf("an outage was taken for %q", event)
			}
		}
	}
}

// flood publishes numbers, from 1.
type flood struct {
	cancel context.CancelFunc
	done   chan error
	last   chan int // holds the last number
}

func startFlood(node *clustertest.Node, topic cluster.Topic) *flood {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flood{cancel: cancel, done: make(chan error, 1), last: make(chan int, 1)}
	f.last <- 0
	go func() { f.done <- f.run(ctx, node, topic) }()
	return f
}

func (f *flood) run(ctx context.Context, node *clustertest.Node, topic cluster.Topic) error {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n := <-f.last
		f.last <- n + 1
		err := node.Publish(cluster.Route{Topic: topic}, []byte(strconv.Itoa(n+1)))
		if err != nil && !errors.Is(err, cluster.ErrUnavailable) {
			return err
		}
	}
}

// sent returns the last number that was published.
func (f *flood) sent() int {
	n := <-f.last
	f.last <- n
	return n
}

func (f *flood) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	if err := <-f.done; err != nil {
		t.Errorf("Publish: %v", err)
	}
}

// latest returns the last number that has arrived at a node.
func latest(t *testing.T, node *clustertest.Node) int {
	t.Helper()
	deliveries := node.Deliveries()
	if len(deliveries) == 0 {
		return 0
	}
	return number(t, deliveries[len(deliveries)-1])
}

func number(t *testing.T, d cluster.Delivery) int {
	t.Helper()
	n, err := strconv.Atoi(string(d.Payload))
	if err != nil {
		t.Fatalf("delivered was %q", d.Payload)
	}
	return n
}

// inOrder checks that the numbers increase.
func inOrder(t *testing.T, node *clustertest.Node) {
	t.Helper()
	last := 0
	for _, d := range node.Deliveries() {
		n := number(t, d)
		if n <= last {
			t.Fatalf("%d came after %d", n, last)
		}
		last = n
	}
}

// A frozen server counts as gone after the timeout. Everything resumes when it continues.
func TestRedisFrozen(t *testing.T) {
	server := clustertest.Start(t)
	fast := func() cluster.Bus {
		b, err := redis.New(redis.Options{URL: server.URL(), Timeout: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a := clustertest.StartNode(t, cluster.Options{Bus: fast()})
	b := clustertest.StartNode(t, cluster.Options{Bus: fast()})
	room := cluster.RoomTopic("/", "lobby")
	a.AwaitNodes(a, b)
	b.Join(room)
	server.Freeze()
	for _, node := range []*clustertest.Node{a, b} {
		node.Await("the node to notice", func() bool { return node.State() == cluster.Disconnected })
	}
	server.Thaw()
	for _, node := range []*clustertest.Node{a, b} {
		node.Await("the node to be back", func() bool { return node.State() == cluster.Connected })
	}
	b.Join(room)
	if err := a.Publish(cluster.Route{Topic: room}, []byte("again")); err != nil {
		t.Fatal(err)
	}
	b.AwaitPayloads("again")
}

// The server closes all connections. They come back by themselves.
func TestConnectionsKilled(t *testing.T) {
	server := clustertest.Start(t)
	a := clustertest.StartNode(t, cluster.Options{Bus: bus(t, server.URL())})
	b := clustertest.StartNode(t, cluster.Options{Bus: bus(t, server.URL())})
	room := cluster.RoomTopic("/", "lobby")
	a.AwaitNodes(a, b)
	b.Join(room)
	flood := startFlood(a, room)
	for range rounds(t) {
		before := flood.sent()
		server.Must("CLIENT KILL TYPE normal")
		server.Must("CLIENT KILL TYPE pubsub")
		b.Await("messages again", func() bool { return latest(t, b) > before })
	}
	flood.stop(t)
	inOrder(t, b)
}

// Moves the slots of all partitions from one master of a Redis Cluster to another. The subscribers
// follow.
func TestSlotMoves(t *testing.T) {
	servers := clustertest.StartCluster(t)
	from, to := servers[0], servers[1]
	ids := []string{from.Must("CLUSTER MYID"), to.Must("CLUSTER MYID")}
	a := clustertest.StartNode(t, cluster.Options{Bus: bus(t, from.URL())})
	b := clustertest.StartNode(t, cluster.Options{Bus: bus(t, from.URL())})
	a.AwaitNodes(a, b)
	topics := make([]cluster.Topic, 50)
	for i := range topics {
		topics[i] = cluster.RoomTopic("/", strconv.Itoa(i))
		b.Join(topics[i])
	}
	for slot := range 16384 / 3 {
		command := "CLUSTER SETSLOT " + strconv.Itoa(slot)
		if keys := from.Must("CLUSTER COUNTKEYSINSLOT " + strconv.Itoa(slot)); keys != "0" {
			continue // it has keys of a table, whose data the operator's tools would move
		}
		to.Must(command + " NODE " + ids[1])
		from.Must(command + " NODE " + ids[1])
	}
	for _, topic := range topics {
		b.Await("what is published after the move", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			// While the node moves, it may arrive nowhere.
			result, err := a.PublishAndWait(ctx, cluster.Route{Topic: topic}, []byte("1"))
			return err == nil && len(result.Replies) == 1
		})
	}
}

// A malformed URL is refused. The error doesn't contain it, because it may have a password.
func TestURL(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://localhost", "redis://u:secret@host:port/0", "redis://u:secret@h/x"} {
		_, err := redis.New(redis.Options{URL: url})
		if err == nil {
			t.Errorf("%q is accepted", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q tells the password", err)
		}
	}
}
