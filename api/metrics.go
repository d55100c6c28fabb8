package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// metrics counts calls. Its labels are bounded: the methods are those that the
// server has, and gRPC has 17 codes.
type metrics struct {
	duration *prometheus.HistogramVec
}

// newMetrics registers the collectors, if there is where.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sala_rpc_duration_seconds",
		Help:    "How long calls of the control API took, REST included, by method and gRPC status code.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "code"})}
	if registerer == nil {
		return m, nil
	}
	if err := registerer.Register(m.duration); err != nil {
		return nil, fmt.Errorf("registering the control API's metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) observe(method string, code codes.Code, took time.Duration) {
	m.duration.WithLabelValues(strings.TrimPrefix(method, "/"), codeName(code)).Observe(took.Seconds())
}
