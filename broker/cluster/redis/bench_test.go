package redis_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// counter counts the deliveries to a node.
type counter struct{ delivered chan struct{} }

func (c counter) Deliver(cluster.Delivery) []byte { c.delivered <- struct{}{}; return nil }
func (c counter) Answer(context.Context, cluster.NodeID, []byte) ([]byte, error) {
	return nil, nil
}
func (c counter) NodeJoined(cluster.Node) {}
func (c counter) NodeLeft(cluster.Node)   {}
func (c counter) NodeLost(cluster.Node)   {}
func (c counter) Rejoined()               {}

// pair runs two nodes on one Redis. The second is subscribed to the topic.
func pair(b *testing.B, keys [][]byte) (from *cluster.Mesh, to counter, topic cluster.Topic) {
	server := clustertest.Start(b)
	to = counter{delivered: make(chan struct{}, 1<<16)}
	topic = cluster.RoomTopic("/", "lobby")
	var nodes [2]*cluster.Mesh
	for i := range nodes {
		bus, err := redis.New(redis.Options{URL: server.URL()})
		if err != nil {
			b.Fatal(err)
		}
		nodes[i], err = cluster.New(cluster.Options{Bus: bus, Handler: to, Keys: keys})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = nodes[i].Run(ctx) }()
		b.Cleanup(func() { stop(); <-done })
		<-nodes[i].Ready()
	}
	if err := nodes[1].Await(10*time.Second, nodes[1].Subscribe(topic)); err != nil {
		b.Fatal(err)
	}
	return nodes[0], to, topic
}

// Brings 200 bytes from one node to another: one message at a time, and as many as fit into the
// outbox.
func BenchmarkPublish(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 200)
	for name, keys := range map[string][][]byte{"signed": {bytes.Repeat([]byte("k"), 32)}, "unsigned": nil} {
		b.Run(name+"/latency", func(b *testing.B) {
			from, to, topic := pair(b, keys)
			for b.Loop() {
				if err := from.Publish(cluster.Route{Topic: topic}, payload); err != nil {
					b.Fatal(err)
				}
				<-to.delivered
			}
		})
		b.Run(name+"/throughput", func(b *testing.B) {
			from, to, topic := pair(b, keys)
			window := make(chan struct{}, 1000)
			go func() {
				for range to.delivered {
					<-window
				}
			}()
			defer close(to.delivered)
			for b.Loop() {
				window <- struct{}{}
				if err := from.Publish(cluster.Route{Topic: topic}, payload); err != nil {
					b.Fatal(err)
				}
			}
			for range cap(window) {
				window <- struct{}{} // the window has arrived
			}
		})
	}
}

// Waits for the answer to each publication.
func BenchmarkPublishAndWait(b *testing.B) {
	from, to, topic := pair(b, nil)
	for b.Loop() {
		result, err := from.PublishAndWait(context.Background(), cluster.Route{Topic: topic}, nil)
		if err != nil || len(result.Replies) != 1 {
			b.Fatalf("%+v, %v", result, err)
		}
		<-to.delivered
	}
}
