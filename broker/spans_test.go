package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/tracing/tracingtest"
)

const callerParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestSpansOfEmits emits at one node to sockets of three, in memory and over Redis.
func TestSpansOfEmits(t *testing.T) {
	for name, bus := range map[string]func(t *testing.T) func(int) cluster.Bus{
		"in memory": func(*testing.T) func(int) cluster.Bus {
			exchange := clustertest.NewExchange()
			return func(int) cluster.Bus { return exchange.Bus() }
		},
		"redis": func(t *testing.T) func(int) cluster.Bus {
			server := clustertest.Start(t)
			return func(int) cluster.Bus {
				bus, err := redis.New(redis.Options{URL: server.URL()})
				if err != nil {
					t.Fatal(err)
				}
				return bus
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := tracingtest.New(t, true)
			nodes := startNodes(t, 3, broker.Options{Tracer: recorder.Tracer}, bus(t))
			for i, node := range nodes {
				node.Join(fmt.Sprint("user", i))
				node.Join(fmt.Sprint("user", i, "b"))
			}
			ctx := recorder.Tracer.Continue(t.Context(), callerParent, "")
			m := broker.Message{Event: "hi", Args: json.RawMessage(`["secret-text"]`)}
			eventually(t, "the nodes have the sockets", func() bool {
				report, err := nodes[0].Emit(t.Context(), everyoneIn, m)
				return err == nil && report.Matched == 6
			})
			before := len(recorder.Spans("emit"))
			if _, err := nodes[0].Emit(ctx, everyoneIn, m); err != nil {
				t.Fatal(err)
			}
			emits := recorder.Spans("emit")[before:]
			if len(emits) != 1 {
				t.Fatalf("there are %d spans of one emit", len(emits))
			}
			emit := emits[0]
			want := map[string]string{
				"sala.node": broker.NodeID(nodes[0].Broker), "sala.namespace": "/", "sala.event": "hi", "sala.target": "namespace", "sala.target.names": "0",
				"sala.matched": "6", "sala.queued": "6", "sala.kept": "0", "sala.dropped": "0", "sala.duplicate": "false",
				"sala.recorded": "0", "sala.unrecorded": "0", "sala.positions": "[]",
			}
			if got := tracingtest.Attributes(emit); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the emit has %v\nwant %v", got, want)
			}
			if emit.SpanKind() != trace.SpanKindProducer || emit.Parent().SpanID().String() != callerParent[36:52] {
				t.Errorf("the emit is a %s below %s", emit.SpanKind(), emit.Parent().SpanID())
			}
			checkApplied(t, recorder, emit, nodes[1:])
			if text := tracingtest.Text(recorder.Spans()); strings.Contains(text, "secret") {
				t.Errorf("a span has arguments:\n%s", text)
			}
		})
	}
}

// checkApplied checks that each of the other nodes has one span below an emit, however many sockets it
// has.
func checkApplied(t *testing.T, recorder *tracingtest.Recorder, emit sdktrace.ReadOnlySpan, others []*brokertest.Node) {
	t.Helper()
	below := func() (spans []sdktrace.ReadOnlySpan) {
		for _, s := range recorder.Spans("apply ") {
			if s.Parent().SpanID() == emit.SpanContext().SpanID() {
				spans = append(spans, s)
			}
		}
		return spans
	}
	eventually(t, "all nodes have a span", func() bool { return len(below()) == len(others) })
	seen := make(map[string]bool)
	for _, s := range below() {
		got := tracingtest.Attributes(s)
		seen[got["sala.node"]] = true
		if s.Name() != "apply emit" || s.SpanKind() != trace.SpanKindConsumer || got["sala.matched"] != "2" || got["sala.queued"] != "2" {
			t.Errorf("%s, a %s, has %v", s.Name(), s.SpanKind(), got)
		}
	}
	for _, node := range others {
		if !seen[broker.NodeID(node.Broker)] {
			t.Errorf("the node %s has no span", broker.NodeID(node.Broker))
		}
	}
}

// TestSpanOfUnreportedEmit: nobody waits for other nodes, but they continue the span as well.
func TestSpanOfUnreportedEmit(t *testing.T) {
	recorder := tracingtest.New(t, true)
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Tracer: recorder.Tracer})
	ana := nodes[1].Join("ana")
	if _, err := nodes[0].Emit(t.Context(), everyoneIn, broker.Message{Event: "hi", Args: json.RawMessage(`[]`), Unreported: true}); err != nil {
		t.Fatal(err)
	}
	ana.Expect("hi", `[]`)
	eventually(t, "the other node has a span", func() bool { return len(recorder.Spans("apply emit")) == 1 })
	if emit, applied := recorder.Spans("emit")[0], recorder.Spans("apply emit")[0]; applied.Parent().SpanID() != emit.SpanContext().SpanID() {
		t.Error("it isn't below the emit")
	}
}

func TestSpanOfAcks(t *testing.T) {
	recorder := tracingtest.New(t, true)
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Tracer: recorder.Tracer})
	clients := []*brokertest.Client{nodes[0].Join("ana"), nodes[1].Join("luis")}
	asking := ask(t.Context(), t, nodes[0], everyoneIn, broker.AckOptions{})
	for _, c := range clients {
		c.Answer(c.Next(), "secret-answer")
		asking.next()
	}
	asking.want(broker.AckSummary{Expected: 2, Answered: 2})
	got := tracingtest.Attributes(recorder.Spans("emit with ack")[0])
	if got["sala.acks.expected"] != "2" || got["sala.acks.answered"] != "2" || got["sala.acks.timed_out"] != "0" {
		t.Errorf("the span has %v", got)
	}
	if n := len(recorder.Spans("apply request_acks")); n != 1 {
		t.Errorf("the other node has %d spans", n)
	}
	if text := tracingtest.Text(recorder.Spans()); strings.Contains(text, "secret") {
		t.Errorf("a span has answers:\n%s", text)
	}
}

func TestSpanOfRefusedEmit(t *testing.T) {
	recorder := tracingtest.New(t, true)
	node := brokertest.Start(t, broker.Options{Tracer: recorder.Tracer})
	if _, err := node.Emit(t.Context(), broker.Target{Namespace: "secret", Rooms: []string{"a"}}, broker.Message{Event: "secret\xff"}); err == nil {
		t.Fatal("the emit isn't refused")
	}
	spans := recorder.Spans()
	if len(spans) != 1 || spans[0].Status().Description != broker.ReasonInvalidArgument || strings.Contains(tracingtest.Text(spans), "secret") {
		t.Errorf("the spans are\n%s", tracingtest.Text(spans))
	}
}

// TestSpansOfEvents: a backend at another node gets the context of the event's span, and the same one
// again when the event is redelivered.
func TestSpansOfEvents(t *testing.T) {
	recorder := tracingtest.New(t, true)
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Tracer: recorder.Tracer})
	first := serve(t, nodes[1], broker.SubscribeOptions{Group: "g", Kinds: messages}, ignore)
	eventually(t, "the backend is known", func() bool { return nodes[0].WantsEvents(eventhub.Message, "/") })
	ana := nodes[0].Join("ana")
	ana.Send(`421["question","secret-text"]`)
	eventually(t, "the backend has the event", func() bool { return len(first.has(eventhub.Message)) == 1 })
	second := serve(t, nodes[1], broker.SubscribeOptions{Group: "g", Kinds: append(messages[:1:1], eventhub.Away)}, echo)
	eventually(t, "the second backend is known", func() bool { return nodes[0].WantsEvents(eventhub.Away, "/") })
	first.Close()
	ana.Await(`431["secret-text"]`)
	if got := second.has(eventhub.Message); len(got) != 1 || !strings.HasSuffix(got[0], "!") {
		t.Fatalf("the second backend has %v", got)
	}
	eventually(t, "the span has ended", func() bool { return len(recorder.Spans("event message")) == 1 })
	span := recorder.Spans("event message")[0]
	want := fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), span.SpanContext().SpanID())
	for _, b := range []*backend{first, second} {
		if got := b.context(); got != want {
			t.Errorf("a backend has the context %s, not %s", got, want)
		}
	}
	got := tracingtest.Attributes(span)
	if got["sala.event"] != "question" || got["sala.socket"] != ana.ID || got["sala.node"] != broker.NodeID(nodes[0].Broker) || got["error.type"] != "" {
		t.Errorf("the span has %v", got)
	}
	if text := tracingtest.Text(recorder.Spans()); strings.Contains(text, "secret") {
		t.Errorf("a span has arguments:\n%s", text)
	}
}

// TestUnsampledEvents: a backend learns that a trace isn't sampled, and other nodes have nothing to do.
func TestUnsampledEvents(t *testing.T) {
	recorder := tracingtest.New(t, true, sdktrace.WithSampler(sdktrace.NeverSample()))
	nodes, _ := brokertest.StartCluster(t, 2, broker.Options{Tracer: recorder.Tracer})
	b := serve(t, nodes[0], broker.SubscribeOptions{Kinds: messages}, echo)
	ana := nodes[0].Join("ana")
	if got := ana.Call("question"); got != `[]` {
		t.Fatal(got)
	}
	if got := b.context(); !strings.HasPrefix(got, "00-") || !strings.HasSuffix(got, "-00") {
		t.Errorf("the context is %q", got)
	}
	emit(t, nodes[0], everyoneIn, broker.Message{Event: "hi"})
	if spans := recorder.Spans(); len(spans) > 0 {
		t.Errorf("there are spans:\n%s", tracingtest.Text(spans))
	}
}

// TestNodesWithoutTraces pass the context of events on, and take part in emits as ever.
func TestNodesWithoutTraces(t *testing.T) {
	recorder, exchange := tracingtest.New(t, true), clustertest.NewExchange()
	with := brokertest.Start(t, broker.Options{Tracer: recorder.Tracer, Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
	without := brokertest.Start(t, broker.Options{Cluster: &broker.ClusterOptions{Bus: exchange.Bus()}})
	b := serve(t, without, broker.SubscribeOptions{Kinds: messages}, echo)
	eventually(t, "the backend is known", func() bool { return with.WantsEvents(eventhub.Message, "/") })
	ana := with.Join("ana")
	if got := ana.Call("question"); got != `[]` {
		t.Fatal(got)
	}
	if b.context() == "" {
		t.Error("the context doesn't reach the backend")
	}
	if report := emit(t, without, everyoneIn, broker.Message{Event: "hi"}); report.Matched != 1 || report.Partial {
		t.Errorf("the report is %+v", report)
	}
	if n := len(recorder.Spans("apply ")); n != 0 {
		t.Errorf("an emit without a trace made %d spans", n)
	}
}

// TestDecisionHasASpan: the span of a client that wants to connect ends with the decision.
func TestDecisionHasASpan(t *testing.T) {
	recorder := tracingtest.New(t, true)
	node := brokertest.Start(t, broker.Options{Tracer: recorder.Tracer})
	serve(t, node, broker.SubscribeOptions{Group: "g", Decide: true, Kinds: []eventhub.Kind{eventhub.Connect}}, func(s *broker.Subscription, d eventhub.Delivery) error {
		if !d.NeedsDecision {
			return nil
		}
		return s.Decide(d.ID, eventhub.Decision{Refusal: &eventhub.Failure{Code: "NOT_TODAY", Message: "secret"}})
	})
	node.Dial(nil).Send(`40{"token":"` + node.Token("ana", brokertest.Everything) + `"}`)
	eventually(t, "the span has ended", func() bool { return len(recorder.Spans("event connect")) == 1 })
	spans := recorder.Spans()
	if got := tracingtest.Attributes(spans[0])["error.type"]; got != "NOT_TODAY" || strings.Contains(tracingtest.Text(spans), "secret") {
		t.Errorf("the spans are\n%s", tracingtest.Text(spans))
	}
}

// TestWithoutTracesNothingIsAllocated: the hooks in the paths of emits, operations and events.
func TestWithoutTracesNothingIsAllocated(t *testing.T) {
	if n := testing.AllocsPerRun(100, broker.WithoutTraces()); n != 0 {
		t.Errorf("they allocate %v times", n)
	}
}

// context returns the context of the first event that a backend was handed.
func (b *backend) context() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[0].Event.TraceParent
}
