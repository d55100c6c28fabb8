package broker

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/eventhub"
)

// streamMetrics counts what becomes of the events that backends subscribe to.
type streamMetrics struct {
	subscriptions prometheus.Gauge
	ended         *prometheus.CounterVec
	delivered     *prometheus.CounterVec
	lost          *prometheus.CounterVec
	questions     *prometheus.CounterVec
}

func newStreamMetrics(counters func(name, help string, labels ...string) *prometheus.CounterVec) *streamMetrics {
	return &streamMetrics{
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sala_subscriptions", Help: "Backends that subscribe to events now.",
		}),
		ended:     counters("sala_subscriptions_ended_total", "Subscriptions that have ended, by reason.", "reason"),
		delivered: counters("sala_events_delivered_total", "Events handed to backends.", "kind", "redelivered"),
		lost:      counters("sala_events_lost_total", "Events that did not get to a group that wanted them, by reason.", "kind", "reason"),
		questions: counters("sala_event_questions_total", "Events that somebody waits for a backend's answer to, by what became of them.", "kind", "result"),
	}
}

func (m *streamMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.subscriptions, m.ended, m.delivered, m.lost, m.questions}
}

// SubscriptionOpened implements [eventhub.Observer].
func (m *streamMetrics) SubscriptionOpened() { m.subscriptions.Inc() }

// SubscriptionClosed implements [eventhub.Observer].
func (m *streamMetrics) SubscriptionClosed(reason string) {
	m.subscriptions.Dec()
	m.ended.WithLabelValues(reason).Inc()
}

// EventsDelivered implements [eventhub.Observer].
func (m *streamMetrics) EventsDelivered(kind eventhub.Kind, redelivered bool, n int) {
	m.delivered.WithLabelValues(kind.String(), strconv.FormatBool(redelivered)).Add(float64(n))
}

// EventLost implements [eventhub.Observer].
func (m *streamMetrics) EventLost(kind eventhub.Kind, reason string) {
	m.lost.WithLabelValues(kind.String(), reason).Inc()
}

// lostWithNodes is the reason of Disconnects of sockets that nobody remembers.
const lostWithNodes = "NODES_LOST"

// forgotten counts sockets whose Disconnect nobody can publish.
func (m *streamMetrics) forgotten(n int) {
	m.lost.WithLabelValues(eventhub.Disconnect.String(), lostWithNodes).Add(float64(n))
}

// QuestionEnded implements [eventhub.Observer].
func (m *streamMetrics) QuestionEnded(kind eventhub.Kind, reason string) {
	if reason == "" {
		reason = "answered"
	}
	m.questions.WithLabelValues(kind.String(), reason).Inc()
}
