package listen

import (
	"container/list"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/realip"
)

const (
	// minBackOff and maxBackOff bound how long Accept waits when the process or the system is out
	// of files.
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
	// silentGrace is how long a connection that has sent nothing may take to send something once
	// the listener closes. Servers would wait for it, and browsers open connections in advance.
	silentGrace = 200 * time.Millisecond
)

// limitListener counts open connections, including those that have sent nothing yet, and rejects
// those over a limit or over their address's limit. A rejected client learns it at once and can go
// elsewhere. Without a limit, clients would wait in the kernel for a free file, and so would
// callers of the control API.
type limitListener struct {
	net.Listener

	// Static.
	limits
	log       *slog.Logger // sampled
	addresses *ratelimit.Addresses
	rejector  *rejector
	closing   chan struct{}

	open      atomic.Int64
	rejected  atomic.Uint64
	exhausted atomic.Uint64
	once      sync.Once

	// Guarded by mu, which is held with no other lock.
	mu       sync.Mutex
	silent   map[*countedConn]struct{} // those that have sent nothing yet
	draining bool                      // closeIdle was called
}

// limits configures a [limitListener].
type limits struct {
	connections int64                    // how many there may be, 0 for any number
	perAddress  ratelimit.AddressOptions // how many one address may have
	answer      string                   // to clients over a limit, see [rejector]
	keyless     *keylessPool             // nil if connections need no API key; if set, it replaces the other limits
}

// newLimitListener wraps l, which must accept TCP connections.
func newLimitListener(l net.Listener, bounds limits, log *slog.Logger) *limitListener {
	return &limitListener{
		Listener:  l,
		limits:    bounds,
		log:       slog.New(newSampledHandler(log.Handler())),
		addresses: ratelimit.NewAddresses(bounds.perAddress),
		rejector:  newRejector(bounds.answer),
		closing:   make(chan struct{}),
		silent:    make(map[*countedConn]struct{}),
	}
}

// Accept implements [net.Listener]. One goroutine calls it. It returns an error only after all
// rejections have been sent.
func (l *limitListener) Accept() (net.Conn, error) {
	wait := minBackOff
	for {
		nc, err := l.Listener.Accept()
		switch {
		case err != nil && isExhausted(err):
			l.exhausted.Add(1)
			l.log.Warn("new clients wait: "+err.Error(), "listener", l.Addr().String(), "open", l.open.Load())
			l.backOff(wait)
			wait = min(2*wait, maxBackOff)
			continue
		case err != nil:
			l.rejector.wait()
			return nil, err
		}
		wait = minBackOff
		tcp, ok := nc.(*net.TCPConn)
		if !ok { // never, on a TCP listener
			return nc, nil
		}
		if c := l.admit(tcp); c != nil {
			return c, nil
		}
	}
}

// admit returns nil for a connection that may not come in. It is closed, now or after an answer.
func (l *limitListener) admit(tcp *net.TCPConn) *countedConn {
	c := &countedConn{TCPConn: tcp, listener: l, from: realip.Address(tcp.RemoteAddr().String())}
	open := l.open.Add(1)
	if l.keyless != nil {
		l.admitKeyless(c)
	} else if !l.admitClient(c, open) {
		l.open.Add(-1)
		return nil
	}
	if tracked := l.track(c); !tracked {
		_ = c.Close() // the listener is closing; there is nobody to tell about an error
		return nil
	}
	return c
}

// admitClient rejects a connection over a limit.
func (l *limitListener) admitClient(c *countedConn, open int64) bool {
	if l.connections > 0 && open > l.connections {
		l.reject(c.TCPConn, "the limit of connections is reached", "limit", l.connections)
		return false
	}
	verdict := l.addresses.Enter(c.from)
	if verdict != ratelimit.Admitted {
		l.reject(c.TCPConn, "their address has reached its limit of connections", "limit", l.perAddress.PerAddress, "address", c.from.String())
		return false
	}
	return true
}

// admitKeyless closes another connection if the pool is full.
func (l *limitListener) admitKeyless(c *countedConn) {
	evicted := l.keyless.add(c)
	if evicted == nil {
		return
	}
	l.log.Warn("closed a connection without an API key to make room for a new one; there are too many of them",
		"listener", l.Addr().String(), "address", evicted.from.String(), "limit", maxKeyless, "limit_per_address", maxKeylessPerAddress)
	_ = evicted.Close() // an error means that it is closed already
}

// track reports whether a connection may still come in.
func (l *limitListener) track(c *countedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return false
	}
	l.silent[c] = struct{}{}
	return true
}

// untrack is called when a connection has sent something or is closed.
func (l *limitListener) untrack(c *countedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.silent, c)
}

// closeIdle admits no more connections, and soon closes those that still send nothing. A server
// that shuts down can't tell whether those are in use and would wait for them: net/http for five
// seconds each, gRPC for ten.
func (l *limitListener) closeIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	if len(l.silent) > 0 {
		time.AfterFunc(silentGrace, l.closeSilent)
	}
}

// closeSilent closes the sockets under mu, because a connection that begins to send may be taken
// over: from then on nobody else may close it; see [engineio.Wrapped].
func (l *limitListener) closeSilent() {
	l.mu.Lock()
	silent := slices.Collect(maps.Keys(l.silent))
	for _, c := range silent {
		_ = c.TCPConn.Close() // an error means that it is closed already
	}
	l.mu.Unlock()
	for _, c := range silent {
		_ = c.Close() // counts it; the error says that the socket is closed
	}
}

// isExhausted reports whether an error passes by itself when others free what is missing.
func isExhausted(err error) bool {
	for _, passing := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func (l *limitListener) backOff(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.closing:
	}
}

func (l *limitListener) reject(tcp *net.TCPConn, why string, attrs ...any) {
	l.rejected.Add(1)
	l.log.Warn("rejecting new connections: "+why, append([]any{"listener", l.Addr().String()}, attrs...)...)
	l.rejector.reject(tcp)
}

// Close implements [net.Listener].
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closing) })
	return l.Listener.Close()
}

// countedConn is a connection of a [limitListener]. It reports its first data and its end.
type countedConn struct {
	*net.TCPConn
	listener *limitListener
	from     netip.Addr
	sent     atomic.Bool // the peer has sent something
	closed   atomic.Bool
	keyed    atomic.Bool   // the peer has shown an API key; set under the pool's lock
	ended    atomic.Value  // the channel (<-chan struct{}) that the end of the key closes which the peer has shown last
	element  *list.Element // in the keyless pool, nil if it isn't there; guarded by the pool's lock
}

// Read implements [net.Conn].
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 && !c.sent.Load() {
		c.sent.Store(true)
		c.listener.untrack(c)
	}
	if n > 0 && c.listener.keyless != nil && !c.keyed.Load() {
		c.listener.keyless.touch(c)
	}
	return n, err
}

// ShowKey implements [api.KeyedConn].
func (c *countedConn) ShowKey(ended <-chan struct{}) bool {
	pool := c.listener.keyless
	if pool == nil {
		return true
	}
	if c.ended.Load() != any(ended) {
		c.ended.Store(ended)
	}
	if c.keyed.Load() {
		return true
	}
	stays, evicted := pool.promote(c)
	for _, other := range evicted {
		_ = other.Close() // an error means that it is closed already
	}
	return stays
}

// keyEnded reports whether the key that the peer has shown last isn't valid any more.
func (c *countedConn) keyEnded() bool {
	ended, _ := c.ended.Load().(<-chan struct{})
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	err := c.TCPConn.Close()
	alreadyClosed := c.closed.Swap(true)
	if alreadyClosed {
		return err
	}
	c.listener.open.Add(-1)
	if c.listener.keyless != nil {
		c.listener.keyless.leave(c)
	} else {
		c.listener.addresses.Leave(c.from)
	}
	c.listener.untrack(c)
	return err
}

// Plain implements [engineio.Wrapped]: reading and writing this is reading and writing its socket. A
// connection in a pool is no such thing, as another one may replace it at any time.
func (c *countedConn) Plain() net.Conn {
	if c.listener.keyless != nil {
		return c
	}
	return c.TCPConn
}

// collectors returns the metrics, labelled with the listener's name.
func (l *limitListener) collectors(name string) []prometheus.Collector {
	labels := prometheus.Labels{"listener": name}
	rejected := func() float64 { return float64(l.rejected.Load()) }
	var more []prometheus.Collector
	switch {
	case l.keyless != nil:
		rejected = func() float64 { return float64(l.keyless.stats().rejected) }
		more = l.keyless.collectors(labels)
	case l.connections > 0:
		more = append(more, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sala_listener_connections_limit", Help: "How many TCP connections may be open.", ConstLabels: labels,
		}, func() float64 { return float64(l.connections) }))
	}
	return append(more,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sala_listener_connections", Help: "Open TCP connections, including those that have sent nothing yet.", ConstLabels: labels,
		}, func() float64 { return float64(l.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sala_listener_turned_away_total", Help: "TCP connections that were rejected because a limit, or the limit of their address, was reached.", ConstLabels: labels,
		}, rejected),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sala_listener_exhausted_total", Help: "Times that a connection could not be accepted for lack of open files or kernel memory.", ConstLabels: labels,
		}, func() float64 { return float64(l.exhausted.Load()) }),
	)
}
