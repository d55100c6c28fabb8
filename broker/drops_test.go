package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/outcome/explain"
)

// watchDrops opens a tail of drops. next waits for the next one.
func watchDrops(t *testing.T, node *brokertest.Node) (next func() outcome.Event) {
	t.Helper()
	tail, err := node.Tail(t.Context(), broker.TailOptions{Owner: "test", Filter: outcome.Filter{Kinds: []outcome.Kind{outcome.Drop}, Problems: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tail.Close)
	var waiting []outcome.Event
	return func() outcome.Event {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for len(waiting) == 0 {
			select {
			case <-tail.Ready():
				waiting, _ = tail.Take()
			case <-deadline:
				t.Fatal("no drop is shown")
			}
		}
		e := waiting[0]
		waiting = waiting[1:]
		return e
	}
}

// wantDrop checks a drop.
func wantDrop(t *testing.T, e outcome.Event, socket, reason string, messages int) {
	t.Helper()
	if e.Socket.ID != socket || e.Reason != reason || e.Report.Dropped != messages || e.Result != outcome.Dropped || e.Message == "" {
		t.Errorf("dropped for %s: %d, %s (%s); want for %s: %d, %s", e.Socket.ID, e.Report.Dropped, e.Reason, e.Message, socket, messages, reason)
	}
}

// wantDropExplained checks what is said of a user whose last drop has a reason.
func wantDropExplained(t *testing.T, node *brokertest.Node, user, reason string) {
	t.Helper()
	x, err := node.Explain(t.Context(), broker.ExplainQuery{User: user})
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Drops) == 0 || x.Drops[0].Reason != reason {
		t.Errorf("the drops of %s are %+v, want %s", user, x.Drops, reason)
	}
	for _, c := range x.Checks {
		if c.Kind == explain.KindDrops && (c.Result != explain.Problem || !strings.Contains(c.Answer, "dropped") || c.Advice == "") {
			t.Errorf("it is said: %+v", c)
		}
	}
}

// Messages that don't fit into a queue are shown, with the socket, at whichever node.
func TestDropsOfSlowConsumersAreShown(t *testing.T) {
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{SlowConsumers: broker.DropSlow, MaxQueueBytes: 200_000})
	next := watchDrops(t, nodes[1])
	slow := nodes[0].Join("slow")
	stall(t, nodes[0], slow)
	wantDrop(t, next(), slow.ID, "queue full", 1)
	wantDropExplained(t, nodes[1], "slow", "queue full")

	// No report counts what another node drops of a message that asks for none.
	args, _ := json.Marshal([]any{strings.Repeat("x", 100_000)})
	emit(t, nodes[1], broker.Target{Users: []string{"slow"}}, broker.Message{Event: "big", Args: args, Unreported: true})
	wantDrop(t, next(), slow.ID, "queue full", 1)
}

// Messages that wait when a connection ends are shown, although they were reported as queued.
func TestUndeliveredMessagesAreShown(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry})
	next := watchDrops(t, node)
	slow := node.Join("slow")
	stall(t, node, slow)
	messages := map[string]float64{}
	for len(messages) < 2 {
		e := next()
		if e.Socket.ID != slow.ID || e.UserName() != "slow" {
			t.Errorf("dropped for %+v", e.Socket)
		}
		messages[e.Reason] += float64(e.Report.Dropped)
	}
	for _, reason := range []string{"queue full", "undelivered"} {
		if want := gather(t, registry)[`sala_deliveries_dropped_total{reason="`+reason+`"}`]; messages[reason] != want || want == 0 {
			t.Errorf("%s: %v are shown, %v were counted", reason, messages[reason], want)
		}
	}
	x, err := node.Explain(t.Context(), broker.ExplainQuery{User: "slow"})
	if err != nil || len(x.Drops) != 2 {
		t.Errorf("the drops are %+v, %v", x.Drops, err)
	}
}

// Messages that were kept for a client that doesn't return are shown.
func TestMessagesOfSessionsThatEndAreShown(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		next := watchDrops(t, ana.Node)
		ana.leave()
		ana.send(1, "kept")
		ana.send(2, "kept")
		<-time.After(3 * time.Minute)
		wantDrop(t, next(), ana.session.ID, "not recovered", 2)
		wantDropExplained(t, ana.Node, "ana", "not recovered")
	})
}

// Nothing is shown of a message that a session still has when its connection ends.
func TestSessionsLoseNothingWithTheirConnection(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		ana.send(1, "queued")
		ana.leave()
		<-time.After(time.Second)
		if x, err := ana.Explain(t.Context(), broker.ExplainQuery{User: "ana"}); err != nil || len(x.Drops) > 0 {
			t.Errorf("drops %+v, %v", x.Drops, err)
		}
	})
}

// Messages that are dropped right before the end are known when Shutdown returns.
func TestDropsAreShownAtShutdown(t *testing.T) {
	withSession(t, broker.Options{}, func(t *testing.T, ana *absence) {
		ana.leave()
		ana.send(1, "kept")
		if err := ana.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, err := ana.Explain(t.Context(), broker.ExplainQuery{User: "ana"})
		if err != nil || len(x.Drops) != 1 || x.Drops[0].Report.Dropped != 1 {
			t.Errorf("drops %+v, %v", x.Drops, err)
		}
	})
}
