package api

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/latency/latencytest"
	"github.com/salabroker/sala/broker/tracing/tracingtest"
)

// The duration of a call names its trace, if that is sampled.
func TestExemplarsOfCalls(t *testing.T) {
	for name, test := range map[string]struct{ parent, want string }{
		"sampled": {callerIn, callerTrace}, "not sampled": {unsampledIn, ""},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			recorder := tracingtest.New(t, true)
			h := start(t, &fakeBroker{matched: 3}, func(c *Config) { c.Tracer, c.Metrics = recorder.Tracer, registry })
			if status, _, text := h.do(t, "POST", "/v1/emit", `{"rooms":["a"],"event":"hi"}`, inSpan(test.parent)); status != http.StatusOK {
				t.Fatal(status, text)
			}
			if got := latencytest.Trace(t, registry, "sala_rpc_duration_seconds"); got != test.want {
				t.Errorf("the trace is %q, want %q", got, test.want)
			}
		})
	}
}
