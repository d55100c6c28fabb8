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

// TestShardFails: while one server of a Redis Cluster is gone, or stands still,
// what lives on the others reaches other nodes with complete answers, what lives
// there is missing, and no node takes another for lost.
func TestShardFails(t *testing.T) {
	for name, test := range map[string]struct{ fail, mend func(*clustertest.Redis) }{
		"killed": {(*clustertest.Redis).Kill, (*clustertest.Redis).Restart},
		"frozen": {(*clustertest.Redis).Freeze, (*clustertest.Redis).Thaw},
	} {
		for failed := range 3 {
			if name == "frozen" && failed > 0 {
				continue // it takes its time
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
			id = cluster.NewNodeID() // an answer needs the asker's own channel
		}
		return clustertest.StartNode(t, cluster.Options{Bus: bus(t, servers[0].URL()), ID: id})
	}
	a, b := start(), start()
	a.AwaitNodes(a, b)
	b.AwaitNodes(a, b)
	var healthy, dead []cluster.Topic
	for i := range 40 {
		topic := cluster.RoomTopic("/", strconv.Itoa(i))
		b.Want(topic)
		if serverOf(t, servers, "sala:topic:"+string(topic)) == failed {
			dead = append(dead, topic)
		} else {
			healthy = append(healthy, topic)
		}
	}
	publish := func(topic cluster.Topic) (cluster.Result, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return a.PublishReported(ctx, cluster.Route{Topic: topic}, []byte("1"))
	}
	fail()
	// What goes to the failed server must not hold up the rest, from the first on.
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
		if node.State() != cluster.Connected || node.Trouble() == nil {
			t.Errorf("a node is %v, its trouble %v", node.State(), node.Trouble())
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
	a.Await("the trouble to be over", func() bool { return a.Trouble() == nil && b.Trouble() == nil })
}

// patience is longer than anything takes.
const patience = 20 * time.Second
