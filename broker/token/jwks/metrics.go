package jwks

import (
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of a fetch, as labels of the metrics.
const (
	fetched = "ok"
	failed  = "failed"
)

// metrics counts the fetches of one set. It implements [prometheus.Collector].
type metrics struct {
	fetches *prometheus.CounterVec
	last    prometheus.Gauge
}

func newMetrics(u *url.URL, issuer string) metrics {
	labels := prometheus.Labels{"url": u.Scheme + "://" + u.Host + u.Path, "issuer": issuer}
	return metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_jwks_fetches_total", Help: "Fetches of an issuer's keys, by result.", ConstLabels: labels,
		}, []string{"result"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sala_jwks_last_fetch_timestamp_seconds", Help: "When an issuer's keys were last fetched; 0 if never.", ConstLabels: labels,
		}),
	}
}

func (m *metrics) count(err error) {
	if err != nil {
		m.fetches.WithLabelValues(failed).Inc()
		return
	}
	m.fetches.WithLabelValues(fetched).Inc()
	m.last.SetToCurrentTime()
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.fetches.Describe(ch)
	m.last.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.fetches.Collect(ch)
	m.last.Collect(ch)
}
