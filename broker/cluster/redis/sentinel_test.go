package redis_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

// Replaces the master, as an operator does and as a crash does. All nodes follow, both to publish
// and to receive. Results that claim to be complete meanwhile are complete.
func TestSentinels(t *testing.T) {
	s := clustertest.StartSentinels(t)
	nodes := make([]*clustertest.Node, 3)
	for i := range nodes {
		nodes[i] = clustertest.StartNode(t, cluster.Options{Bus: bus(t, s.URL())})
	}
	room := cluster.RoomTopic("/", "lobby")
	for _, node := range nodes {
		node.AwaitNodes(nodes...)
		node.Join(room)
	}
	r := startReporting(nodes[0], room)
	for _, change := range []struct {
		name string
		do   func(master *clustertest.Redis)
	}{
		{"planned", func(*clustertest.Redis) { s.Failover() }},
		{"planned, back", func(*clustertest.Redis) { s.Failover() }},
		{"killed", func(master *clustertest.Redis) { master.Kill() }},
	} {
		before := s.Master()
		change.do(before)
		s.AwaitMaster(before)
		for i, since := 0, r.count(); r.count() < since+20; i++ {
			if i > 3000 {
				t.Fatalf("%s: no answer is complete again", change.name)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	complete := r.stop()
	for _, node := range nodes[1:] {
		got := make(map[string]bool)
		for _, d := range node.Deliveries() {
			got[string(d.Payload)] = true
		}
		missing := 0
		for _, number := range complete {
			if !got[number] {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("a node lacks %d of %d messages whose answers were complete", missing, len(complete))
		}
	}
}

// A node leaves a master that has become a replica, even if its connection stays open and the
// sentinels haven't noticed.
func TestMasterIsDemoted(t *testing.T) {
	s := clustertest.StartSentinels(t)
	node := clustertest.StartNode(t, cluster.Options{Bus: bus(t, s.URL())})
	<-node.Ready()
	for _, w := range s.Watch {
		w.Freeze()
	}
	before := s.Servers[0]
	before.Must("REPLICAOF 127.0.0.1 " + strconv.Itoa(s.Servers[1].Port))
	node.Await("the node to leave it", func() bool { return node.State() == cluster.Disconnected })
	before.Must("REPLICAOF NO ONE")
	for _, w := range s.Watch {
		w.Thaw()
	}
	node.Await("the node to be back", func() bool { return node.State() == cluster.Connected })
}

// A node whose sentinels are gone stays with its master. A node that finds no sentinel reports so.
func TestSentinelsAreGone(t *testing.T) {
	s := clustertest.StartSentinels(t)
	node := clustertest.StartNode(t, cluster.Options{Bus: bus(t, s.URL())})
	<-node.Ready()
	for _, w := range s.Watch {
		w.Kill()
	}
	other := clustertest.StartNode(t, cluster.Options{Bus: bus(t, s.URL())})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-other.Ready():
		t.Error("a node is ready that can't know the master")
	}
	if node.State() != cluster.Connected {
		t.Error("a node has left its master because the sentinels are gone")
	}
}

// reporting publishes numbers one by one, and keeps those whose results are complete.
type reporting struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	complete []string
}

func startReporting(node *clustertest.Node, topic cluster.Topic) *reporting {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reporting{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for n := 1; ctx.Err() == nil; n++ {
			r.report(ctx, node, topic, strconv.Itoa(n))
			<-time.After(time.Millisecond)
		}
	}()
	return r
}

func (r *reporting) report(ctx context.Context, node *clustertest.Node, topic cluster.Topic, number string) {
	ctx, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	result, err := node.PublishAndWait(ctx, cluster.Route{Topic: topic}, []byte(number))
	if err == nil && !result.Partial() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.complete = append(r.complete, number)
	}
}

func (r *reporting) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.complete)
}

func (r *reporting) stop() []string {
	r.cancel()
	<-r.done
	return r.complete
}
