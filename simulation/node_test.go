package simulation

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/token"
)

// secret signs the tokens of every run.
const secret = "a secret for simulations that is long enough"

// node is a broker with a public listener in memory.
type node struct {
	*broker.Broker
	w        *world
	number   int // from 0, in the order in which they start
	listener *listener
	server   *http.Server
	bus      *delayedBus // nil on a single node
	wire     cluster.Bus // bus, without delays
	ahead    atomic.Int64
	metrics  *prometheus.Registry
	stop     context.CancelFunc
	ran      chan error
	served   chan struct{}

	// Guarded by world.mu.
	open   bool // it gets new connections
	ending bool // it drains or is killed, or is about to
	dead   bool
}

// now is the node's clock.
func (n *node) now() time.Time { return time.Now().Round(0).Add(time.Duration(n.ahead.Load())) }

// startNode starts a node.
func (w *world) startNode() *node {
	w.mu.Lock()
	number := len(w.nodes)
	w.mu.Unlock()
	n := &node{w: w, number: number, ran: make(chan error, 1), served: make(chan struct{})}
	keys, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(secret)}}, Now: n.now})
	if err != nil {
		w.t.Fatalf("token.NewKeyring: %v", err)
	}
	o := w.plan.options()
	o.Tokens = keys
	n.metrics = prometheus.NewRegistry()
	o.Metrics = n.metrics
	if w.exchange != nil {
		n.wire = w.exchange.Bus()
		n.bus = &delayedBus{Bus: n.wire, delay: w.plan.busDelay, rnd: w.source(1<<32 + uint64(number))}
		o.Cluster = &broker.ClusterOptions{Bus: n.bus, Now: n.now}
	}
	if n.Broker, err = broker.New(o); err != nil {
		w.t.Fatalf("broker.New: %v", err)
	}
	n.startBackends()
	addr := &net.TCPAddr{IP: net.IPv4(10, 0, 1, byte(number)), Port: 8080}
	n.listener = newListener(addr)
	n.server = &http.Server{Handler: n.Handler()}
	go func() {
		_ = n.server.Serve(n.listener)
		close(n.served)
	}()
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { n.ran <- n.Run(running) }()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
	return n
}

// checkGauges checks that the node holds nothing for clients that have left.
func (n *node) checkGauges() {
	families, err := n.metrics.Gather()
	if err != nil {
		n.w.fail("node %d: its metrics: %v", n.number, err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "sala_sockets_away", "sala_session_bytes", "sala_connections", "sala_sockets", "sala_rooms":
			for _, m := range f.GetMetric() {
				if v := m.GetGauge().GetValue(); v != 0 {
					n.w.fail("node %d: %s is %v after everybody has left: %v", n.number, f.GetName(), v, m.GetLabel())
				}
			}
		}
	}
}

// drain shuts the node down gracefully.
func (n *node) drain() {
	w := n.w
	w.mu.Lock()
	n.open = false
	w.mu.Unlock()
	w.h.logf("node %d drains", n.number)
	f := w.h.beginFault(nodeDrained, n.number)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = n.Shutdown(ctx) // a client that is cut off may keep it until ctx ends
	n.end()
	w.h.endFault(f)
	w.h.logf("node %d has ended", n.number)
}

// end ends what is left after Shutdown.
func (n *node) end() {
	_ = n.listener.Close()
	n.stop()
	if err := <-n.ran; err != nil {
		n.w.fail("node %d: Run: %v", n.number, err)
	}
	_ = n.server.Close()
	<-n.served
	n.w.mu.Lock()
	n.open, n.dead = false, true
	n.w.mu.Unlock()
}

// kill ends the node as a kill of its process does: from one moment to the next it
// sends and receives nothing, and its clients' connections are reset.
func (n *node) kill() {
	w := n.w
	w.h.logf("node %d is killed", n.number)
	w.h.beginFault(nodeKilled, n.number)
	w.mu.Lock()
	n.open, n.dead = false, true
	var links []*link
	for _, l := range w.links {
		if l.node == n {
			links = append(links, l)
		}
	}
	w.mu.Unlock()
	if n.bus != nil {
		n.bus.kill()
		w.exchange.SetFault(n.wire, clustertest.Severed)
	}
	_ = n.listener.Close()
	for _, l := range links {
		cut{up: true, down: true, keepDown: l.luck, server: 0, client: l.latency, err: errReset}.apply(l.conn)
	}
	// What is left of it runs into a void.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.Shutdown(ctx)
	n.end()
}
