package api

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker/latency"
)

// metrics counts calls. Its labels are bounded: by the server's methods, and by the 17 codes
// of gRPC.
type metrics struct {
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
}

// refusal is the limit for which a call or a connection was refused.
type refusal string

// The limits that protect the memory of the node from its callers.
const (
	refusedCalls     refusal = "calls"     // too many in flight
	refusedReceiving refusal = "receiving" // no room for a request to arrive
	refusedDecoding  refusal = "decoding"  // no room to decode it
	refusedTooLarge  refusal = "too_large" // decoding it would never fit
	refusedFrames    refusal = "frames"    // a connection that sends too many frames that serve no call

	refusedAnswers       refusal = "answers"       // an answer for which there is no room
	refusedUnread        refusal = "unread"        // a connection whose peer doesn't read
	refusedConnection    refusal = "connections"   // no place for a connection with a key
	refusedSubscriptions refusal = "subscriptions" // too many for a key
)

// refusals returns all of them.
func refusals() []refusal {
	return []refusal{refusedCalls, refusedReceiving, refusedDecoding, refusedTooLarge, refusedFrames, refusedAnswers, refusedUnread, refusedConnection, refusedSubscriptions}
}

// newMetrics registers the collectors unless registerer is nil.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{duration: prometheus.NewHistogramVec(latency.HistogramOpts("sala_rpc_duration_seconds",
		"How long calls of the control API took, REST included, by method and gRPC status code.",
		.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10), []string{"method", "code"})}
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sala_api_refused_total",
		Help: "Calls, and connections of callers, that were refused or ended to protect the node's memory, by the limit that they exceeded.",
	}, []string{"bound"})
	for _, r := range refusals() {
		m.refused.WithLabelValues(string(r))
	}
	if registerer == nil {
		return m, nil
	}
	if err := errors.Join(registerer.Register(m.duration), registerer.Register(m.refused)); err != nil {
		return nil, fmt.Errorf("registering the control API's metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) refuse(r refusal) { m.refused.WithLabelValues(string(r)).Inc() }

func (m *metrics) observe(method string, code codes.Code, took time.Duration, traceID string) {
	latency.Observe(m.duration.WithLabelValues(strings.TrimPrefix(method, "/"), apierror.CodeName(code)), took, traceID)
}
