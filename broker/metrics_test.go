package broker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/history"
)

// TestEveryEndIsCounted checks that clients that are refused or cut show up in
// the metrics with the reason.
func TestEveryEndIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	o := chat()
	o.Metrics = registry
	o.MaxMessageBytes = 2000
	node := brokertest.Start(t, o)

	node.Dial(nil).Connect("/nowhere", nil)
	node.Dial(nil).Connect("/", map[string]string{"token": "x"})
	if _, err := node.TryDial(http.Header{"Origin": {"https://evil.example"}}); err == nil {
		t.Error("a forbidden origin connected")
	}
	broken, large, leaves := node.Join("ana"), node.Join("ana"), node.Join("ana")
	broken.Send("42{}")
	broken.ExpectEnd()
	large.Emit("shout", strings.Repeat("x", 2000))
	large.ExpectEnd()
	leaves.Call("unknown")
	leaves.Call("join", "room")

	for metric, want := range map[string]float64{
		`sala_connects_refused_total{reason="NAMESPACE_NOT_FOUND"}`:      1,
		`sala_connects_refused_total{reason="TOKEN_INVALID"}`:            1,
		`sala_connects_refused_total{reason="ORIGIN_DENIED"}`:            1,
		`sala_connections_closed_total{reason="parse error"}`:            1,
		`sala_connections_closed_total{reason="message too large"}`:      1,
		`sala_client_events_total{kind="unhandled",result="NO_HANDLER"}`: 1,
		`sala_client_events_total{kind="join",result="ok"}`:              1,
		`sala_sockets{namespace="/"}`:                                    1,
		`sala_rooms{namespace="/"}`:                                      1,
		`sala_connections_opened_total{}`:                                5,
		`sala_draining{}`:                                                0,
		`sala_connections{}`:                                             3, // two are still refused ones
	} {
		// A connection's end is counted a moment after its client has seen it.
		eventually(t, fmt.Sprintf("%s is %v", metric, want), func() bool { return gather(t, registry)[metric] == want })
	}
}

// The metrics of the history are those of its engine.
func TestHistoryIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	engine := history.NewMemory(history.MemoryOptions{MaxBytes: 10_000})
	rule := history.Rule{Rooms: "chat:**", Messages: 10, TTL: time.Minute}
	o := chat()
	o.Metrics, o.History = registry, &broker.HistoryOptions{Rules: history.Rules{rule}, Engine: engine}
	brokertest.Start(t, o)
	for n := range 3 {
		r := history.Room{Namespace: "/", Name: fmt.Sprint("chat:", n), Messages: 10, TTL: time.Minute}
		e := history.Entry{Event: "e", Args: make([]byte, 4000), Time: time.Now()}
		engine.Append([]history.Room{r}, e, func([]history.Position, error) {})
	}
	got := gather(t, registry)
	if bytes := got["sala_history_bytes{}"]; bytes < 8000 || bytes > 10_000 {
		t.Errorf("%v bytes", bytes)
	}
	for metric, want := range map[string]float64{
		"sala_history_rooms{}": 2, "sala_history_appends_total{}": 3, "sala_history_append_failures_total{}": 0, "sala_history_evictions_total{}": 1,
	} {
		if value, ok := got[metric]; !ok || value != want {
			t.Errorf("%s is %v, want %v", metric, value, want)
		}
	}
}

// eventually waits for something that happens on another goroutine.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !happened() {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// gather returns the value of each counter and gauge by its name and labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestClusterIsCounted(t *testing.T) {
	exchange := clustertest.NewExchange()
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry, Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
	brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
	is := func(metric string, want float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s is %v", metric, want), func() bool { return gather(t, registry)[metric] == want })
	}
	is("sala_cluster_nodes{}", 2)
	is("sala_cluster_connected{}", 1)
	if _, counted := gather(t, registry)[`sala_cluster_lost_total{reason="bad mac"}`]; !counted {
		t.Error("a reason for which nothing was lost isn't there")
	}
	before := gather(t, registry)
	if _, err := node.ListRooms(t.Context(), broker.RoomQuery{}); err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{
		"published_total{}", "published_bytes_total{}", "received_total{}", "received_bytes_total{}", `question_duration_seconds{kind="call"}`,
	} {
		name := "sala_cluster_" + metric
		eventually(t, name+" has grown", func() bool { return gather(t, registry)[name] > before[name] })
	}
	exchange.SetDown(true)
	is("sala_cluster_connected{}", 0)
	exchange.SetDown(false)
	is("sala_cluster_connected{}", 1)
}

// isMeasured waits until the first message of a node, which is always measured, is counted as one that
// was queued and delivered.
func isMeasured(t *testing.T, gather func() map[string]float64) {
	t.Helper()
	for _, name := range []string{"sala_emit_duration_seconds{}", "sala_delivery_duration_seconds{}"} {
		eventually(t, name+" counts one", func() bool { return gather()[name] == 1 })
	}
}

func emitToAll(t *testing.T, node *brokertest.Node) {
	t.Helper()
	m := broker.Message{Event: "my_response", Args: json.RawMessage(`["hola"]`)}
	if _, err := node.Emit(t.Context(), broker.Target{Everyone: true}, m); err != nil {
		t.Fatal(err)
	}
}

// A message is measured however it reaches the node, once, whatever the number of its sockets.
func TestLatencyOfMessages(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, node, other *brokertest.Node, ana *brokertest.Client){
		"emit":           func(t *testing.T, node, _ *brokertest.Node, _ *brokertest.Client) { emitToAll(t, node) },
		"another's emit": func(t *testing.T, _, other *brokertest.Node, _ *brokertest.Client) { emitToAll(t, other) },
		"relay":          func(_ *testing.T, _, _ *brokertest.Node, ana *brokertest.Client) { ana.Emit("shout", "hola") },
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			o, exchange := chat(), clustertest.NewExchange()
			o.Metrics, o.Cluster = registry, &broker.ClusterOptions{Bus: exchange.Bus()}
			node := brokertest.Start(t, o)
			other := brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
			for _, n := range []*brokertest.Node{node, other} {
				eventually(t, "the nodes know each other", func() bool {
					list, err := n.ListNodes(t.Context())
					return err == nil && len(list.Nodes) == 2 && !list.Partial
				})
			}
			ana, luis, eva := node.Join("ana"), node.Join("luis"), node.Join("eva")
			send(t, node, other, ana)
			luis.Expect("my_response", `["hola"]`)
			eva.Expect("my_response", `["hola"]`)
			isMeasured(t, func() map[string]float64 { return gather(t, registry) })
		})
	}
}

// So are messages to clients that have a session.
func TestLatencyOfMessagesToSessions(t *testing.T) {
	ana := startAbsence(t, chat(), brokertest.Start)
	emitToAll(t, ana.Node)
	if e := ana.client.Next(); e.Name != "my_response" {
		t.Errorf("got the event %s", e.Name)
	}
	isMeasured(t, ana.gather)
}

// Each ack of a client, and each answer of a backend, is measured.
func TestLatencyOfAcks(t *testing.T) {
	registry := prometheus.NewRegistry()
	node := brokertest.Start(t, broker.Options{Metrics: registry})
	ana, luis := node.Join("ana"), node.Join("luis")
	asked := ask(t.Context(), t, node, broker.Target{Everyone: true}, broker.AckOptions{MinAcks: 2})
	for _, c := range []*brokertest.Client{ana, luis} {
		c.Answer(c.Next(), 1)
	}
	asked.next()
	asked.next()
	asked.want(broker.AckSummary{Expected: 2, Answered: 2})
	serve(t, node, broker.SubscribeOptions{Kinds: messages}, echo)
	ana.Call("question", 1)
	got := gather(t, registry)
	for name, want := range map[string]float64{
		"sala_ack_duration_seconds{}":                          2,
		`sala_event_question_duration_seconds{kind="message"}`: 1,
	} {
		if got[name] != want {
			t.Errorf("%s counts %v, want %v", name, got[name], want)
		}
	}
}
