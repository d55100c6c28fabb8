package broker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/engineio"
)

// Kinds of events that clients send, as the metrics name them.
const (
	eventJoin      = "join"
	eventLeave     = "leave"
	eventRelay     = "relay"
	eventToken     = "token"
	eventBackend   = "backend"
	eventUnhandled = "unhandled"
)

// What becomes of the answers that clients are asked for, as the metrics name it.
const (
	ackAnswered     = "answered"
	ackTimedOut     = "timed_out"
	ackDisconnected = "disconnected"
	ackLate         = "late"
)

// metrics counts what the broker does. The values of all labels come from
// constants or from the configuration, never from clients.
type metrics struct {
	b *Broker

	sockets, rooms *prometheus.Desc
	overloaded     *prometheus.Desc
	unfinished     *prometheus.Desc
	connections    prometheus.Gauge
	closed         *prometheus.CounterVec
	refusals       *prometheus.CounterVec
	limits         *prometheus.CounterVec
	events         *prometheus.CounterVec
	acks           *prometheus.CounterVec
	stream         *streamMetrics
	emits          prometheus.Counter
	shed           prometheus.Counter
	queued         prometheus.Counter
	dropped        *prometheus.CounterVec
	emitters       *prometheus.CounterVec
}

func newMetrics(b *Broker) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		b:          b,
		stream:     newStreamMetrics(counters),
		sockets:    prometheus.NewDesc("sala_sockets", "Connected sockets.", []string{"namespace"}, nil),
		rooms:      prometheus.NewDesc("sala_rooms", "Rooms with members.", []string{"namespace"}, nil),
		overloaded: prometheus.NewDesc("sala_overloaded", "1 while memory is short, so that new clients and messages are refused.", nil, nil),
		unfinished: prometheus.NewDesc("sala_unfinished_bytes", "Bytes that are held of messages of clients that have arrived in part.", nil, nil),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sala_connections", Help: "Open connections, whatever the number of sockets on each.",
		}),
		closed:   counters("sala_connections_closed_total", "Connections that have ended, by reason.", "reason"),
		refusals: counters("sala_connects_refused_total", "Clients that were refused, by reason.", "reason"),
		limits:   counters("sala_limits_exceeded_total", "What clients wanted beyond a limit, by limit.", "limit"),
		events:   counters("sala_client_events_total", "Events that clients sent, by what became of them.", "kind", "result"),
		acks:     counters("sala_acks_total", "Answers that clients were asked for, by what became of them.", "result"),
		emits:    counter("sala_emits_total", "Messages sent, whatever the number of receivers."),
		shed:     counter("sala_emits_shed_total", "Messages refused because memory is short."),
		queued:   counter("sala_deliveries_queued_total", "Messages queued to a socket."),
		dropped:  counters("sala_deliveries_dropped_total", "Messages that did not reach a connection, by reason.", "reason"),
		emitters: counters("sala_emitter_messages_total", "Messages of Socket.IO emitters on Redis, by what became of them.", "result"),
	}
}

func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

func (m *metrics) exceeded(limit string) { m.limits.WithLabelValues(limit).Inc() }

func (m *metrics) received(kind string, err *Error) {
	result := "ok"
	if err != nil {
		result = err.Reason
	}
	m.events.WithLabelValues(kind, result).Inc()
}

func (m *metrics) emitted(r Report) {
	m.emits.Inc()
	m.queued.Add(float64(r.Queued))
}

func (m *metrics) asked(s AckSummary) {
	for result, n := range map[string]int{ackAnswered: s.Answered, ackTimedOut: s.TimedOut, ackDisconnected: s.Disconnected} {
		m.acks.WithLabelValues(result).Add(float64(n))
	}
}

// ConnOpened implements [engineio.Observer].
func (m *metrics) ConnOpened() { m.connections.Inc() }

// ConnClosed implements [engineio.Observer].
func (m *metrics) ConnClosed(reason engineio.Reason) {
	m.connections.Dec()
	m.closed.WithLabelValues(string(reason)).Inc()
}

// ReadPaused implements [engineio.Observer].
func (m *metrics) ReadPaused() { m.exceeded(limitBytes) }

// FramesDropped implements [engineio.Observer].
func (m *metrics) FramesDropped(reason engineio.DropReason, n int) {
	m.dropped.WithLabelValues(string(reason)).Add(float64(n))
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.sockets
	ch <- m.rooms
	ch <- m.overloaded
	ch <- m.unfinished
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for name, ns := range m.b.namespaces {
		sockets, rooms := ns.index.Len()
		ch <- prometheus.MustNewConstMetric(m.sockets, prometheus.GaugeValue, float64(sockets), name)
		ch <- prometheus.MustNewConstMetric(m.rooms, prometheus.GaugeValue, float64(rooms), name)
	}
	overloaded := 0.0
	if m.b.Overloaded() {
		overloaded = 1
	}
	ch <- prometheus.MustNewConstMetric(m.overloaded, prometheus.GaugeValue, overloaded)
	ch <- prometheus.MustNewConstMetric(m.unfinished, prometheus.GaugeValue, float64(m.b.holds.Bytes()))
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	own := []prometheus.Collector{m.connections, m.closed, m.refusals, m.limits, m.events, m.acks, m.emits, m.shed, m.queued, m.dropped, m.emitters}
	return append(own, m.stream.collectors()...)
}
