package redis_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// serverOf returns which of the servers of a Redis Cluster a channel lives on.
func serverOf(t *testing.T, servers []*clustertest.Redis, channel string) int {
	t.Helper()
	slot, err := strconv.Atoi(servers[0].Must("CLUSTER KEYSLOT " + redis.Name(channel)))
	if err != nil {
		t.Fatal(err)
	}
	return slot * len(servers) / 16384
}

// While one server of a Redis Cluster is gone or frozen, messages over the others reach all nodes
// with complete results, results of messages over it are partial, and no node is taken for lost.
func TestShardFails(t *testing.T) {
	for name, test := range map[string]struct{ fail, mend func(*clustertest.Redis) }{
		"killed": {(*clustertest.Redis).Kill, (*clustertest.Redis).Restart},
		"frozen": {(*clustertest.Redis).Freeze, (*clustertest.Redis).Thaw},
	} {
		for failed := range 3 {
			if name == "frozen" && failed > 0 {
				continue // it takes long
			}
			t.Run(name+" "+strconv.Itoa(failed), func(t *testing.T) {
				servers := clustertest.StartCluster(t)
				shardFails(t, servers, failed, func() { test.fail(servers[failed]) }, func() {
					test.mend(servers[failed])
					clustertest.AwaitCluster(servers)
				})
			})
		}
	}
}

func shardFails(t *testing.T, servers []*clustertest.Redis, failed int, fail, mend func()) {
	start := func() *clustertest.Node {
		id := cluster.NewNodeID()
		for serverOf(t, servers, "sala:node:"+string(id)) == failed {
			id = cluster.NewNodeID() // answers come over the caller's own channel
		}
		return clustertest.StartNode(t, cluster.Options{Bus: bus(t, servers[0].URL()), ID: id})
	}
	a, b := start(), start()
	a.AwaitNodes(a, b)
	b.AwaitNodes(a, b)
	var healthy, dead []cluster.Topic
	for i := range 40 {
		topic := cluster.RoomTopic("/", strconv.Itoa(i))
		b.Join(topic)
		if serverOf(t, servers, "sala:topic:"+string(topic)) == failed {
			dead = append(dead, topic)
		} else {
			healthy = append(healthy, topic)
		}
	}
	publish := func(topic cluster.Topic) (cluster.Result, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return a.PublishAndWait(ctx, cluster.Route{Topic: topic}, []byte("1"))
	}
	fail()
	// From the first one, messages to the failed server must not delay others.
	if err := a.Publish(cluster.Route{Topic: dead[0]}, nil); err != nil {
		t.Errorf("Publish: %v", err)
	}
	for began := time.Now(); time.Since(began) < 6*time.Second; { // longer than a node may be silent
		for _, topic := range healthy {
			result, err := publish(topic)
			if err != nil || len(result.Replies) != 1 || result.Partial() {
				t.Fatalf("a topic of a healthy server, after %v: %+v, %v", time.Since(began), result, err)
			}
		}
	}
	result, err := publish(dead[0])
	if err == nil && (len(result.Replies) > 0 || !result.Partial()) {
		t.Errorf("a topic of the failed server: %+v", result)
	}
	for _, node := range []*clustertest.Node{a, b} {
		if node.State() != cluster.Connected || node.Health() == nil {
			t.Errorf("a node is %v, its trouble %v", node.State(), node.Health())
		}
		for _, event := range node.Events() {
			if !strings.HasPrefix(event, "joined ") {
				t.Errorf("the failure was taken for %q", event)
			}
		}
	}
	mend()
	for _, topic := range append(dead, healthy...) {
		a.Await("everything to be delivered again", func() bool {
			result, err := publish(topic)
			return err == nil && len(result.Replies) == 1 && !result.Partial()
		})
	}
	a.Await("the trouble to be over", func() bool { return a.Health() == nil && b.Health() == nil })
}

// patience is longer than anything should take.
const patience = time.Minute

// One node can't reach one server of a Redis Cluster. From the first call on, it is missing by name
// in results of messages over that server, and answers those over the others.
func TestNodeLosesAServer(t *testing.T) {
	servers := clustertest.StartCluster(t)
	const gone = 1
	for _, server := range servers {
		server.Must("ACL SETUSER apart on >secret ~* &* +@all")
	}
	start := func(url string) *clustertest.Node {
		id := cluster.NewNodeID()
		for serverOf(t, servers, "sala:node:"+string(id)) == gone {
			id = cluster.NewNodeID() // answers come over the caller's own channel
		}
		return clustertest.StartNode(t, cluster.Options{Bus: bus(t, url), ID: id})
	}
	a, b := start(servers[0].URL()), start(servers[0].URL())
	apart := start(strings.Replace(servers[0].URL(), "//", "//apart:secret@", 1))
	for _, node := range []*clustertest.Node{a, b, apart} {
		node.AwaitNodes(a, b, apart)
	}
	var there, elsewhere cluster.Topic
	for i := 0; there == "" || elsewhere == ""; i++ {
		topic := cluster.RoomTopic("/", strconv.Itoa(i))
		b.Join(topic)
		apart.Join(topic)
		if serverOf(t, servers, "sala:topic:"+string(topic)) == gone {
			there = topic
		} else {
			elsewhere = topic
		}
	}
	publish := func(topic cluster.Topic) cluster.Result {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		result, err := a.PublishAndWait(ctx, cluster.Route{Topic: topic}, []byte("1"))
		if err != nil {
			t.Fatalf("PublishAndWait: %v", err)
		}
		return result
	}
	for _, topic := range []cluster.Topic{there, elsewhere} {
		if result := publish(topic); len(result.Replies) != 2 || result.Partial() {
			t.Fatalf("before: %+v", result)
		}
	}
	servers[gone].Must("ACL SETUSER apart off")
	servers[gone].Must("CLIENT KILL USER apart")
	if result := publish(there); len(result.Replies) != 1 || len(result.Missing) != 1 || result.Missing[0] != apart.ID() {
		t.Errorf("over the lost server: %+v, want %s missing", result, apart.ID())
	}
	if result := publish(elsewhere); len(result.Replies) != 2 || result.Partial() {
		t.Errorf("where it can: %+v", result)
	}
	apart.Await("the node to find out", func() bool { return apart.Health() != nil })
	if apart.State() != cluster.Connected {
		t.Error("it takes all for gone")
	}
	servers[gone].Must("ACL SETUSER apart on")
	apart.Await("the node to be back", func() bool { return apart.Health() == nil })
	if result := publish(there); len(result.Replies) != 2 || result.Partial() {
		t.Errorf("afterwards: %+v", result)
	}
}
