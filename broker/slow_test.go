package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
)

// stall sends large messages, numbered from 1, to a client that doesn't read,
// until one is dropped, and returns how many were queued.
func stall(t *testing.T, node *brokertest.Node, slow *brokertest.Client) (queued int) {
	t.Helper()
	padding := strings.Repeat("x", 100_000)
	for n := 1; n < 1000; n++ { // far above what any system buffers
		args, _ := json.Marshal([]any{n, padding})
		report, err := node.Emit(t.Context(), broker.Target{Sockets: []string{slow.ID}}, broker.Message{Event: "big", Args: args})
		if err != nil {
			t.Fatal(err)
		}
		if report.Dropped == 1 {
			return n - 1
		}
	}
	t.Fatal("nothing was dropped")
	return 0
}

func TestSlowConsumersAreDisconnected(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry})
	slow, neighbour := node.Join("slow"), node.Join("neighbour")
	stall(t, node, slow)
	eventually(t, "the slow client has gone", func() bool {
		return gather(t, registry)[`sala_connections_closed_total{reason="slow consumer"}`] == 1 &&
			gather(t, registry)[`sala_sockets{namespace="/"}`] == 1
	})
	neighbour.ExpectNothing()
}

func TestSlowConsumersMissWhatDoesNotFit(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry, SlowConsumers: broker.DropSlow, MaxQueueBytes: 200_000})
	slow := node.Join("slow")
	queued := stall(t, node, slow)
	for want := range queued {
		var args []any
		if err := json.Unmarshal([]byte(slow.Next().Args), &args); err != nil || args[0] != float64(want+1) {
			t.Fatalf("message %d: %v %v", want+1, args[0], err)
		}
	}
	slow.ExpectNothing()
	if got := gather(t, registry)[`sala_deliveries_dropped_total{reason="queue full"}`]; got != 1 {
		t.Errorf("%v dropped messages were counted, want 1", got)
	}
}

// A client that reads slowly has its time to answer a ping from when the ping is
// written, and not from when it is queued behind everything else.
func TestSlowReadersHaveTimeToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := brokertest.StartInMemory(t, broker.Options{PingInterval: 5 * time.Second, PingTimeout: 4 * time.Second})
		slow := node.Join("slow")
		slow.Mute = true
		const messages = 9
		for range messages {
			args, _ := json.Marshal([]string{strings.Repeat("x", 100_000)})
			emit(t, node, broker.Target{Users: []string{"slow"}}, broker.Message{Event: "big", Args: args})
		}
		for range messages { // the ping is queued after 5 s and written after 11
			slow.Next()
			<-time.After(1400 * time.Millisecond)
		}
		slow.ExpectNothing()
		if slow.Pings != 1 {
			t.Fatalf("%d pings have come, want 1", slow.Pings)
		}
		<-time.After(2500 * time.Millisecond) // until 15.1 s after the start
		slow.Pong()
		slow.ExpectNothing()
		slow.ExpectEnd() // the next ping isn't answered
	})
}

// Messages that a client with a session misses, because its queue is full, are
// counted as those of other clients are.
func TestSlowSessionsMissWhatDoesNotFit(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{
		Metrics: registry, SlowConsumers: broker.DropSlow, MaxQueueBytes: 200_000, Recovery: &broker.RecoveryOptions{},
	})
	slow := node.ReturnTo(node.Token("slow", brokertest.Everything), &brokertest.Session{})
	stall(t, node, slow)
	if got := gather(t, registry)[`sala_deliveries_dropped_total{reason="queue full"}`]; got != 1 {
		t.Errorf("%v dropped messages were counted, want 1", got)
	}
}
