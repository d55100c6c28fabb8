package broker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/cluster"
)

// clusterMetrics counts what the nodes of a cluster say to each other.
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
		nodes:          prometheus.NewDesc("sala_cluster_nodes", "Nodes that this one knows of, itself included.", nil, nil),
		connected:      prometheus.NewDesc("sala_cluster_connected", "Whether this node reaches the cluster: 1 if it does, 0 if not.", nil, nil),
		unreachable:    prometheus.NewDesc("sala_cluster_unreachable_nodes", "Nodes that this one knows of and that don't hear it at the moment.", nil, nil),
		unstored:       prometheus.NewDesc("sala_cluster_unstored_revocations", "Revocations of tokens that this node knows of and that could not be stored for nodes that start later.", nil, nil),
		published:      counter("sala_cluster_published_total", "Messages sent to other nodes, whatever the number of receivers."),
		publishedBytes: counter("sala_cluster_published_bytes_total", "Bytes of these messages."),
		received:       counter("sala_cluster_received_total", "Messages that came from the cluster, this node's own included where it hears them."),
		receivedBytes:  counter("sala_cluster_received_bytes_total", "Bytes of these messages."),
		missing:        counter("sala_cluster_missing_answers_total", "Answers of other nodes that did not come in time."),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_cluster_lost_total", Help: "Messages between nodes that were lost or refused, by reason.",
		}, []string{"reason"}),
		questions: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sala_cluster_question_duration_seconds",
			Help:    "How long the answers of other nodes were waited for, by kind of question.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"kind"}),
	}
	for _, reason := range cluster.LossReasons() {
		m.lost.WithLabelValues(string(reason)) // so that a first loss is seen as one
	}
	return m
}

// StateChanged implements [cluster.Observer]. The state itself is read when it is
// asked for.
func (m *clusterMetrics) StateChanged(s cluster.State) {
	if s == cluster.Connected {
		m.b.revoked.Sync()
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
}

// Answered implements [cluster.Observer].
func (m *clusterMetrics) Answered(kind cluster.Asked, took time.Duration, missing int) {
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
	connected := 1.0
	if m.b.Isolated() || m.b.mesh.OutOfTime() {
		connected = 0
	}
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
