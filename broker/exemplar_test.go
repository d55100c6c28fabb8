package broker_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/brokertest"
	"github.com/salabroker/sala/broker/latency/latencytest"
	"github.com/salabroker/sala/broker/tracing/tracingtest"
)

// What an emit and its acks take names the trace of the caller.
func TestExemplarsOfMessages(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	registry, recorder := prometheus.NewRegistry(), tracingtest.New(t, true)
	node := brokertest.Start(t, broker.Options{Metrics: registry, Tracer: recorder.Tracer})
	ana := join(t, node, "ana")
	ctx := recorder.Tracer.Continue(t.Context(), "00-"+id+"-b7ad6b7169203331-01", "")
	if _, err := node.Emit(ctx, everyoneInLobby, broker.Message{Event: "e"}); err != nil {
		t.Fatal(err)
	}
	ana.Expect("e", `[]`)
	asked := ask(ctx, t, node, everyoneInLobby, broker.AckOptions{})
	ana.Answer(question(t, ana))
	asked.next()
	for _, name := range []string{"sala_emit_duration_seconds", "sala_delivery_duration_seconds", "sala_ack_duration_seconds"} {
		eventually(t, name+" names the trace", func() bool { return latencytest.Trace(t, registry, name) == id })
	}
}
