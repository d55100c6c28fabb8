package broker

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/nodeproxy"
)

// forwardRequests creates what passes requests on to the nodes that have their sessions.
func (b *Broker) forwardRequests() *Error {
	observer := newForwardMetrics(b)
	b.proxy = nodeproxy.New(nodeproxy.Options{
		Mesh:     b.mesh,
		Release:  b.releaseSession,
		Observer: observer,
		Logger:   b.log,
	})
	if b.opts.Metrics != nil {
		if err := b.opts.Metrics.Register(observer); err != nil {
			return &Error{Code: CodeInternal, Reason: ReasonMetrics, Message: err.Error()}
		}
	}
	return nil
}

// forward offers a request for an unknown session to the other nodes.
func (b *Broker) forward(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) bool {
	return b.proxy != nil && b.proxy.Forward(w, r, sid, upgrade)
}

// releaseSession has the client of a session use another node than the one that passes its requests
// on, because that one drains. A client over long-polling polls again, one over WebSocket connects
// again. Its sessions outlive that, because this node stays.
func (b *Broker) releaseSession(sid string) {
	conn, receiver := b.engine.Session(sid)
	if conn == nil {
		return
	}
	polls := conn.ReleasePoll()
	if c, ok := receiver.(*client); ok && !polls {
		c.dismiss(engineio.ReasonForcedClose, "a node on the way is shutting down; reconnect in a moment")
	}
}

// forwardMetrics counts requests that nodes pass on to each other. It implements
// [nodeproxy.Observer].
type forwardMetrics struct {
	b         *Broker
	forwarded *prometheus.CounterVec
	received  *prometheus.CounterVec
	passing   *prometheus.Desc
}

func newForwardMetrics(b *Broker) *forwardMetrics {
	m := &forwardMetrics{
		b: b,
		forwarded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_cluster_forwarded_requests_total", Help: "Requests of clients whose session another node has, by transport and by what became of them.",
		}, []string{"transport", "result"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sala_cluster_received_requests_total", Help: "Requests that came from other nodes, or pretended to, by result.",
		}, []string{"result"}),
		passing: prometheus.NewDesc("sala_cluster_forwarding", "Polls and WebSockets of clients whose session another node has, by transport.", []string{"transport"}, nil),
	}
	for _, result := range nodeproxy.Results() {
		m.forwarded.WithLabelValues(nodeproxy.Polling, string(result))
		m.forwarded.WithLabelValues(nodeproxy.WebSocket, string(result))
	}
	m.received.WithLabelValues(receivedResult(""))
	for _, reason := range cluster.RequestRefusals() {
		m.received.WithLabelValues(receivedResult(reason))
	}
	return m
}

// receivedResult is how the metrics call a request of another node that was refused for a reason;
// "ok" without one.
func receivedResult(reason cluster.LossReason) string {
	if reason == "" {
		return "ok"
	}
	return string(reason)
}

// Forwarded implements [nodeproxy.Observer].
func (m *forwardMetrics) Forwarded(transport string, result nodeproxy.Result) {
	m.forwarded.WithLabelValues(transport, string(result)).Inc()
}

// Received implements [nodeproxy.Observer].
func (m *forwardMetrics) Received(reason cluster.LossReason) {
	m.received.WithLabelValues(receivedResult(reason)).Inc()
}

// Describe implements [prometheus.Collector].
func (m *forwardMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.passing
	m.forwarded.Describe(ch)
	m.received.Describe(ch)
}

// Collect implements [prometheus.Collector].
func (m *forwardMetrics) Collect(ch chan<- prometheus.Metric) {
	polls, webSockets := m.b.proxy.Passing()
	ch <- prometheus.MustNewConstMetric(m.passing, prometheus.GaugeValue, float64(polls), nodeproxy.Polling)
	ch <- prometheus.MustNewConstMetric(m.passing, prometheus.GaugeValue, float64(webSockets), nodeproxy.WebSocket)
	m.forwarded.Collect(ch)
	m.received.Collect(ch)
}
