// Package nodeproxy passes requests of clients on to the node that has their session. So a load
// balancer may send each request to any node of a cluster.
//
// The id of a session begins with the id of its node ([cluster.OwnerOf]). A node that gets a request
// for a session of another node sends it there, over the other node's public listener, below [Path].
// It proves with [cluster.Mesh.SealRequest] that it is a node, and vouches for the client's address.
//
//	proxy.go    the proxy, its options and its end
//	forward.go  requests that go to another node: polls and posts
//	body.go     the body of a post
//	upgrade.go  requests that become a WebSocket
//	receive.go  requests that come from other nodes
//	dial.go     connections to other nodes
//	drain.go    how clients leave a node that only passes their requests on
//
// The node that a client reaches checks the origin of its page, and answers for it. The node that
// has the session does all the rest, as if the client had come directly. A request is passed on at
// most once: a node accepts one only for a session of its own.
package nodeproxy

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/grace"
)

// Path is the path below which nodes send requests to each other.
const Path = "/.sala/"

// The paths below it.
const (
	pathForward = Path + "forward" // a request of a client
	pathRelease = Path + "release" // have a client use another node
	pathCheck   = Path + "check"   // nothing: can the node be reached?
)

// The headers of requests between nodes.
const (
	headerProof  = "Sala-Proof"   // in a request: what SealRequest returns, in base64
	headerNode   = "Sala-Node"    // in a response: the id of the node that answers
	headerHangUp = "Sala-Hang-Up" // in a response: the client must not get it, if its connection can be closed instead
)

const (
	// dialTimeout is how long it may take to connect to another node. It allows for one lost packet.
	dialTimeout = 2 * time.Second
	// upgradeTimeout is how long another node may take to answer the request for a WebSocket.
	upgradeTimeout = 10 * time.Second
	// writeTimeout is how long a client or a node may take nothing that is written to it. It is the
	// engine's.
	writeTimeout = 10 * time.Second
	// maxIdle is how many idle connections to one node are kept, and idleTimeout for how long. It is
	// shorter than nodes keep theirs, so that a request never meets a connection that closes.
	maxIdle     = 64
	idleTimeout = 30 * time.Second
	// complainEvery is the time between two log lines about the same kind of failure.
	complainEvery = 10 * time.Second
	// maxErrands bounds how many requests of this node's own may wait, and errandWorkers how many are
	// under way at a time.
	maxErrands    = 4096
	errandWorkers = 8
)

// Transports of requests, for [Observer].
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// Result is what became of a request for a session of another node.
type Result string

// Results. After each but Passed, the client gets the answer for an unknown session.
const (
	Passed      Result = "ok"
	Gone        Result = "gone"        // there is no such node any longer
	Draining    Result = "draining"    // this node takes no more WebSockets; the session goes on over polling
	Unreachable Result = "unreachable" // the node can't be reached at its address
	Refused     Result = "refused"     // the node doesn't accept it, or another server is at its address
	Canceled    Result = "canceled"    // the client has gone
)

// Results returns all results, so that metrics can start at zero.
func Results() []Result { return []Result{Passed, Gone, Draining, Unreachable, Refused, Canceled} }

// Observer counts what happens, for metrics. Its methods are called concurrently and must not block.
type Observer interface {
	// Forwarded is called for each request for a session of another node.
	Forwarded(transport string, result Result)
	// Received is called for each request that says that it comes from a node. reason is why it
	// doesn't; empty if it does.
	Received(reason cluster.LossReason)
}

// Options configure a [Proxy]. All are required.
type Options struct {
	// Mesh knows the other nodes.
	Mesh *cluster.Mesh
	// Release has the client of a session of this node send its next requests to other nodes. The
	// session may be unknown.
	Release func(sid string)
	// Observer counts.
	Observer Observer
	// Logger gets problems and what to do about them.
	Logger *slog.Logger
}

// Proxy passes requests on, and receives those that others pass on. Its methods may be called
// concurrently.
type Proxy struct {
	// Static.
	opts      Options
	transport *http.Transport
	tunnels   *engineio.Tunnels
	buffers   *buffers
	errands   chan func(ctx context.Context) // requests of this node's own
	drains    chan time.Duration             // receives how long draining may take, once
	hurry     chan struct{}                  // closed when draining may take no longer
	hurrying  sync.Once                      // closes hurry

	complained [2]atomic.Int64 // when the last failure of each complaint was logged, as Unix time in ns

	mu       sync.Mutex
	passing  map[*passage]struct{} // what the proxy passes on at the moment
	draining bool
}

// passage is a poll or a WebSocket of a client whose session another node has.
type passage struct {
	node      cluster.Node
	sid       string
	webSocket bool
}

// New returns a proxy.
func New(o Options) *Proxy {
	p := &Proxy{
		opts:    o,
		tunnels: engineio.NewTunnels(writeTimeout),
		buffers: &buffers{},
		errands: make(chan func(context.Context), maxErrands),
		drains:  make(chan time.Duration, 1),
		hurry:   make(chan struct{}),
		passing: make(map[*passage]struct{}),
	}
	p.transport = p.newTransport()
	return p
}

// Run sends this node's own requests to other nodes until ctx ends. Without it nothing is checked,
// and draining waits for clients to leave by themselves. It is called once.
func (p *Proxy) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for range errandWorkers {
		running.Go(func() { p.work(ctx) })
	}
	select {
	case <-ctx.Done():
	case spread := <-p.drains:
		p.release(ctx, spread)
		p.releaseUpgrading(ctx)
	}
}

// releaseUpgrading asks again from time to time for the release of what is left: clients that were
// upgrading to a WebSocket can't be sent away before they have finished.
func (p *Proxy) releaseUpgrading(ctx context.Context) {
	again := time.NewTicker(releaseEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.hurry:
			p.release(ctx, 0)
			return
		case <-again.C:
			p.release(ctx, 0)
		}
	}
}

// work carries out errands.
func (p *Proxy) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case errand := <-p.errands:
			errand(ctx)
		}
	}
}

// do has Run carry out an errand. With too many waiting, it is dropped.
func (p *Proxy) do(errand func(ctx context.Context)) {
	select {
	case p.errands <- errand:
	default:
	}
}

// Passing returns how many polls and WebSockets the proxy passes on at the moment.
func (p *Proxy) Passing() (polls, webSockets int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for what := range p.passing {
		if what.webSocket {
			webSockets++
		} else {
			polls++
		}
	}
	return polls, webSockets
}

// Shutdown has all clients whose requests the proxy passes on use other nodes, and returns once it
// has no WebSocket left. When ctx ends first, it cuts the rest and returns ctx's error.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.Drain(0)
	p.hurrying.Do(func() { close(p.hurry) })
	defer p.transport.CloseIdleConnections()
	ended := grace.Wait(ctx, 0, p.tunnels.Wait)
	p.tunnels.Shutdown()
	if ended {
		return nil
	}
	p.tunnels.Wait() // they are cut, so it's soon
	return ctx.Err()
}

// complaint is a kind of failure that is logged.
type complaint int

const (
	complaintSending complaint = iota
	complaintReceiving
)

// complain logs a failure, unless one of its kind was logged a moment ago: there may be any number.
func (p *Proxy) complain(about complaint, message string, attrs ...any) {
	last, now := p.complained[about].Load(), time.Now().UnixNano()
	if now-last < int64(complainEvery) || !p.complained[about].CompareAndSwap(last, now) {
		return
	}
	p.opts.Logger.Warn(message, attrs...)
}
