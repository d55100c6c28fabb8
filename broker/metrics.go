package broker

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/history"
	"github.com/salabroker/sala/broker/latency"
)

// Kinds of events that clients send, as the metrics count them.
const (
	eventJoin      = "join"
	eventLeave     = "leave"
	eventRelay     = "relay"
	eventToken     = "token"
	eventBackend   = "backend"
	eventUnhandled = "unhandled"
)

// What became of the acks that clients were asked for, as the metrics count it.
const (
	ackAnswered     = "answered"
	ackTimedOut     = "timed_out"
	ackDisconnected = "disconnected"
	ackLate         = "late"
)

// metrics counts what the broker does. The values of labels come from constants or
// from the configuration, never from clients.
type metrics struct {
	b *Broker

	sockets, rooms  *prometheus.Desc
	away            *prometheus.Desc
	sessionBytes    *prometheus.Desc
	overloaded      *prometheus.Desc
	unfinished      *prometheus.Desc
	draining        *prometheus.Desc
	connections     prometheus.Gauge
	opened          prometheus.Counter
	presenceDropped prometheus.Counter
	closed          *prometheus.CounterVec
	refusals        *prometheus.CounterVec
	limits          *prometheus.CounterVec
	events          *prometheus.CounterVec
	acks            *prometheus.CounterVec
	stream          *streamMetrics
	latency         *latencyMetrics
	emits           prometheus.Counter
	keyed           *prometheus.CounterVec
	shed            prometheus.Counter
	queued          prometheus.Counter
	kept            prometheus.Counter
	returns         *prometheus.CounterVec
	dropped         *prometheus.CounterVec
	replaced        prometheus.Counter
	emitters        *prometheus.CounterVec
}

func newMetrics(b *Broker) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		b:            b,
		stream:       newStreamMetrics(counters),
		latency:      newLatencyMetrics(),
		sockets:      prometheus.NewDesc("sala_sockets", "Connected sockets.", []string{"namespace"}, nil),
		rooms:        prometheus.NewDesc("sala_rooms", "Rooms with members.", []string{"namespace"}, nil),
		away:         prometheus.NewDesc("sala_sockets_away", "Sockets whose client has lost its connection and may return. They count as sockets, too.", []string{"namespace"}, nil),
		sessionBytes: prometheus.NewDesc("sala_session_bytes", "Bytes of messages that sessions keep until their clients confirm them.", nil, nil),
		overloaded:   prometheus.NewDesc("sala_overloaded", "1 while new clients and messages are refused because memory is short, 0 otherwise.", nil, nil),
		unfinished:   prometheus.NewDesc("sala_unfinished_bytes", "Bytes of clients' messages that have arrived in part.", nil, nil),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sala_connections", Help: "Open connections, whatever the number of sockets on each.",
		}),
		draining:        prometheus.NewDesc("sala_draining", "1 while this node closes its clients' connections and takes no new ones, 0 otherwise.", nil, nil),
		opened:          counter("sala_connections_opened_total", "Connections that clients have opened."),
		presenceDropped: counter("sala_presence_changes_dropped_total", "Changes of presence that weren't announced, because too many users came and went at the same time."),
		closed:          counters("sala_connections_closed_total", "Connections that have ended, by reason.", "reason"),
		refusals:        counters("sala_connects_refused_total", "Clients that were refused, by reason.", "reason"),
		limits:          counters("sala_limits_exceeded_total", "Attempts of clients to exceed a limit, by limit.", "limit"),
		events:          counters("sala_client_events_total", "Events that clients sent, by kind and result.", "kind", "result"),
		acks:            counters("sala_acks_total", "Acks that clients were asked for, by result.", "result"),
		emits:           counter("sala_emits_total", "Messages sent, whatever the number of receivers."),
		keyed:           counters("sala_keyed_emits_total", "Calls that send a message with an idempotency key, by result.", "result"),
		shed:            counter("sala_emits_shed_total", "Messages refused because memory is short."),
		queued:          counter("sala_deliveries_queued_total", "Messages queued to a socket."),
		kept:            counter("sala_deliveries_kept_total", "Messages queued in the session of a socket that is away."),
		returns:         counters("sala_session_returns_total", "Clients that asked for their session back, by result: recovered, or why it wasn't.", "result"),
		dropped:         counters("sala_deliveries_dropped_total", "Messages that didn't reach a connection, by reason.", "reason"),
		replaced:        counter("sala_deliveries_replaced_total", "Queued messages that later ones with the same conflate key have replaced."),
		emitters:        counters("sala_emitter_messages_total", "Messages of Socket.IO emitters on Redis, by result.", "result"),
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
	m.kept.Add(float64(r.Kept))
}

// returnRecovered is how the metrics count a client that got its session back.
const returnRecovered = "recovered"

func (m *metrics) returned(result string) { m.returns.WithLabelValues(result).Inc() }

func (m *metrics) acked(s AckSummary) {
	for result, n := range map[string]int{ackAnswered: s.Answered, ackTimedOut: s.TimedOut, ackDisconnected: s.Disconnected} {
		m.acks.WithLabelValues(result).Add(float64(n))
	}
}

// ConnOpened implements [engineio.Observer].
func (m *metrics) ConnOpened() {
	m.connections.Inc()
	m.opened.Inc()
}

// ConnClosed implements [engineio.Observer].
func (m *metrics) ConnClosed(reason engineio.Reason) {
	m.connections.Dec()
	m.closed.WithLabelValues(string(reason)).Inc()
}

// closedByReason returns how many connections have ended, by reason.
func (m *metrics) closedByReason() map[string]uint64 {
	closed := make(map[string]uint64)
	collected := make(chan prometheus.Metric)
	go func() {
		defer close(collected)
		m.closed.Collect(collected)
	}()
	for one := range collected {
		var sample dto.Metric
		if one.Write(&sample) == nil && len(sample.GetLabel()) == 1 {
			closed[sample.GetLabel()[0].GetValue()] = uint64(sample.GetCounter().GetValue())
		}
	}
	return closed
}

// FramesDropped implements [engineio.Observer].
func (m *metrics) FramesDropped(reason engineio.DropReason, n int) {
	m.dropped.WithLabelValues(string(reason)).Add(float64(n))
}

// FramesReplaced implements [engineio.Observer].
func (m *metrics) FramesReplaced(n int) { m.replaced.Add(float64(n)) }

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.sockets
	ch <- m.rooms
	ch <- m.away
	ch <- m.sessionBytes
	ch <- m.overloaded
	ch <- m.draining
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
	if r := m.b.recovery; r != nil {
		for name, ns := range m.b.namespaces {
			ch <- prometheus.MustNewConstMetric(m.away, prometheus.GaugeValue, float64(ns.away.Load()), name)
		}
		ch <- prometheus.MustNewConstMetric(m.sessionBytes, prometheus.GaugeValue, float64(r.budget.Bytes()))
	}
	ch <- prometheus.MustNewConstMetric(m.overloaded, prometheus.GaugeValue, asGauge(m.b.Overloaded()))
	ch <- prometheus.MustNewConstMetric(m.draining, prometheus.GaugeValue, asGauge(m.b.draining.Load()))
	ch <- prometheus.MustNewConstMetric(m.unfinished, prometheus.GaugeValue, float64(m.b.holds.Bytes()))
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

// asGauge returns 1 for what is true, and otherwise 0.
func asGauge(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *metrics) collectors() []prometheus.Collector {
	own := []prometheus.Collector{m.connections, m.opened, m.presenceDropped, m.closed, m.refusals, m.limits, m.events, m.acks, m.emits, m.keyed, m.shed, m.queued, m.kept, m.returns, m.dropped, m.replaced, m.emitters}
	return slices.Concat(own, m.stream.collectors(), m.latency.collectors())
}

// latencyMetrics measures how long messages and acks take.
type latencyMetrics struct {
	sampler  *latency.Sampler
	emit     prometheus.Histogram
	delivery prometheus.Histogram
	ack      prometheus.Histogram
}

func newLatencyMetrics() *latencyMetrics {
	messages := []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	return &latencyMetrics{
		sampler: latency.NewSampler(),
		emit: prometheus.NewHistogram(latency.HistogramOpts("sala_emit_duration_seconds",
			"Time from when this node receives a message until it is queued to all of its sockets here, of a sample of the messages.", messages...)),
		delivery: prometheus.NewHistogram(latency.HistogramOpts("sala_delivery_duration_seconds",
			"Time from when this node receives a message until a socket has taken it, of one socket for each message of a sample.", messages...)),
		ack: prometheus.NewHistogram(latency.HistogramOpts("sala_ack_duration_seconds",
			"Time from when this node asks a client for an ack until it has the ack.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60)),
	}
}

func (m *latencyMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.emit, m.delivery, m.ack}
}

// receive is called when a message is received. It returns zero if the message isn't measured.
func (m *latencyMetrics) receive() latency.Time { return m.sampler.Receive() }

// emitted is called when a measured message is queued.
func (m *latencyMetrics) emitted(received latency.Time, traceID string) {
	latency.Observe(m.emit, m.sampler.Since(received), traceID)
}

// delivered is called when a socket has taken a measured message.
func (m *latencyMetrics) delivered(received latency.Time, traceID string) {
	latency.Observe(m.delivery, m.sampler.Since(received), traceID)
}

func (m *latencyMetrics) acked(took time.Duration, traceID string) {
	latency.Observe(m.ack, took, traceID)
}

// streamMetrics counts the events that backends subscribe to.
type streamMetrics struct {
	subscriptions prometheus.Gauge
	ended         *prometheus.CounterVec
	delivered     *prometheus.CounterVec
	lost          *prometheus.CounterVec
	questions     *prometheus.CounterVec
	answers       *prometheus.HistogramVec
}

func newStreamMetrics(counters func(name, help string, labels ...string) *prometheus.CounterVec) *streamMetrics {
	return &streamMetrics{
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sala_subscriptions", Help: "Backends that are subscribed to events.",
		}),
		ended:     counters("sala_subscriptions_ended_total", "Subscriptions that have ended, by reason.", "reason"),
		delivered: counters("sala_events_delivered_total", "Events handed to backends.", "kind", "redelivered"),
		lost:      counters("sala_events_lost_total", "Events that didn't reach a group that wanted them, by reason.", "kind", "reason"),
		questions: counters("sala_event_questions_total", "Events that needed an answer of a backend, by result.", "kind", "result"),
		answers: prometheus.NewHistogramVec(latency.HistogramOpts("sala_event_question_duration_seconds",
			"Time from an event that needs an answer of a backend until the answer, by kind.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60), []string{"kind"}),
	}
}

func (m *streamMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.subscriptions, m.ended, m.delivered, m.lost, m.questions, m.answers}
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

// lostWithNodes is the reason for the lost DISCONNECT of a socket that no node knows.
const lostWithNodes = "NODES_LOST"

// forgotten counts sockets whose DISCONNECT no node can publish.
func (m *streamMetrics) forgotten(n int) {
	m.lost.WithLabelValues(eventhub.Disconnect.String(), lostWithNodes).Add(float64(n))
}

// QuestionEnded implements [eventhub.Observer].
func (m *streamMetrics) QuestionEnded(kind eventhub.Kind, reason string, took time.Duration) {
	if reason == "" {
		reason = "answered"
		m.answers.WithLabelValues(kind.String()).Observe(took.Seconds())
	}
	m.questions.WithLabelValues(kind.String(), reason).Inc()
}

// clusterMetrics counts the messages between the nodes of a cluster.
type clusterMetrics struct {
	b *Broker

	nodes, connected *prometheus.Desc
	unreachable      *prometheus.Desc
	unstored         *prometheus.Desc
	published        prometheus.Counter
	publishedBytes   prometheus.Counter
	received         prometheus.Counter
	receivedBytes    prometheus.Counter
	lost             *prometheus.CounterVec
	questions        *prometheus.HistogramVec
	missing          prometheus.Counter
}

func newClusterMetrics(b *Broker) *clusterMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &clusterMetrics{
		b:              b,
		nodes:          prometheus.NewDesc("sala_cluster_nodes", "Nodes that this one knows of, including itself.", nil, nil),
		connected:      prometheus.NewDesc("sala_cluster_connected", "1 while this node reaches the cluster, 0 otherwise.", nil, nil),
		unreachable:    prometheus.NewDesc("sala_cluster_unreachable_nodes", "Nodes that this one knows of and that don't receive its messages at the moment.", nil, nil),
		unstored:       prometheus.NewDesc("sala_cluster_unstored_revocations", "Revocations that this node knows of and that aren't stored for nodes that start later.", nil, nil),
		published:      counter("sala_cluster_published_total", "Messages sent to other nodes, whatever the number of receivers."),
		publishedBytes: counter("sala_cluster_published_bytes_total", "Bytes of the messages sent to other nodes."),
		received:       counter("sala_cluster_received_total", "Messages received from the cluster, including this node's own where it receives them."),
		receivedBytes:  counter("sala_cluster_received_bytes_total", "Bytes of the messages received from the cluster."),
		missing:        counter("sala_cluster_missing_answers_total", "Answers of other nodes that didn't come in time."),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_cluster_lost_total", Help: "Messages between nodes that were lost or refused, by reason.",
		}, []string{"reason"}),
		questions: prometheus.NewHistogramVec(latency.HistogramOpts("sala_cluster_question_duration_seconds",
			"Time spent waiting for the answers of other nodes, by kind of call.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5), []string{"kind"}),
	}
	for _, reason := range cluster.LossReasons() {
		m.lost.WithLabelValues(string(reason)) // so that a first loss is seen as one
	}
	return m
}

// StateChanged implements [cluster.Observer]. Collect reads the state itself.
func (m *clusterMetrics) StateChanged(s cluster.State) {
	if s == cluster.Connected {
		m.b.revoked.Sync()
	} else if len(m.b.mesh.Nodes()) > 1 {
		m.countGap()
	}
}

// countGap notes that the node may have missed messages of other nodes. What sessions
// hold isn't complete then.
func (m *clusterMetrics) countGap() {
	if r := m.b.recovery; r != nil {
		r.gaps.Add(1)
	}
}

// Published implements [cluster.Observer].
func (m *clusterMetrics) Published(messages, bytes int) {
	m.published.Add(float64(messages))
	m.publishedBytes.Add(float64(bytes))
}

// Received implements [cluster.Observer].
func (m *clusterMetrics) Received(bytes int) {
	m.received.Inc()
	m.receivedBytes.Add(float64(bytes))
}

// Lost implements [cluster.Observer].
func (m *clusterMetrics) Lost(reason cluster.LossReason, messages int) {
	m.lost.WithLabelValues(string(reason)).Add(float64(messages))
	if reason == cluster.LostInboxFull || reason == cluster.LostClock {
		m.countGap()
	}
}

// Answered implements [cluster.Observer].
func (m *clusterMetrics) Answered(kind cluster.CallKind, took time.Duration, missing int) {
	m.questions.WithLabelValues(string(kind)).Observe(took.Seconds())
	m.missing.Add(float64(missing))
}

// Describe implements [prometheus.Collector].
func (m *clusterMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.nodes
	ch <- m.connected
	ch <- m.unreachable
	ch <- m.unstored
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (m *clusterMetrics) Collect(ch chan<- prometheus.Metric) {
	connected := asGauge(m.b.mesh.State() == cluster.Connected && !m.b.mesh.ClockWrong())
	ch <- prometheus.MustNewConstMetric(m.nodes, prometheus.GaugeValue, float64(len(m.b.mesh.Nodes())))
	ch <- prometheus.MustNewConstMetric(m.connected, prometheus.GaugeValue, connected)
	ch <- prometheus.MustNewConstMetric(m.unreachable, prometheus.GaugeValue, float64(m.b.mesh.Unreachable()))
	ch <- prometheus.MustNewConstMetric(m.unstored, prometheus.GaugeValue, float64(m.b.revoked.Unstored()))
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

func (m *clusterMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.published, m.publishedBytes, m.received, m.receivedBytes, m.lost, m.questions, m.missing,
	}
}

// historyMetrics shows the counts of the engine that keeps the history of rooms.
type historyMetrics struct {
	engine history.Engine

	rooms, bytes, evictions      *prometheus.Desc // if the engine is in this process
	appends, failures, malformed *prometheus.Desc
}

func newHistoryMetrics(engine history.Engine) *historyMetrics {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &historyMetrics{
		engine:    engine,
		rooms:     desc("sala_history_rooms", "Rooms whose history this node keeps in memory."),
		bytes:     desc("sala_history_bytes", "Bytes of memory that the history of rooms takes."),
		evictions: desc("sala_history_evictions_total", "Rooms that lost their history because memory is short."),
		appends:   desc("sala_history_appends_total", "Messages recorded in the history of a room, one for each room."),
		failures:  desc("sala_history_append_failures_total", "Messages that couldn't be recorded in the history of a room, one for each room."),
		malformed: desc("sala_history_malformed_total", "Recorded messages that were left out because no node of this cluster has written them."),
	}
}

// Describe implements [prometheus.Collector].
func (m *historyMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.rooms, m.bytes, m.evictions, m.appends, m.failures, m.malformed} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (m *historyMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.engine.Stats()
	counter := func(desc *prometheus.Desc, n int64) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n))
	}
	counter(m.appends, s.Appended)
	counter(m.failures, s.Failed)
	if !s.Local {
		counter(m.malformed, s.Malformed)
		return
	}
	counter(m.evictions, s.Evicted)
	ch <- prometheus.MustNewConstMetric(m.rooms, prometheus.GaugeValue, float64(s.Rooms))
	ch <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(s.Bytes))
}
