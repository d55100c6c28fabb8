package server

import (
	"container/list"
	"errors"
	"io"
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
	// minBackOff and maxBackOff are how long accepting waits when the process,
	// or the system, has no file left.
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
	// maxFarewells bounds how many clients are being told at once that there is
	// no place for them, and farewellTime how long each may take to read it.
	// Those above that number hear it from their system.
	maxFarewells = 16
	farewellTime = time.Second
	// lastWord is how long a connection that has sent nothing yet may take to do
	// so once the listener ends. Servers wait for one that has just come, and
	// browsers open some that they may never use.
	lastWord = 200 * time.Millisecond
)

// farewell is what a client gets for which there is no place.
const farewell = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 42\r\nRetry-After: 5\r\nConnection: close\r\n\r\n" +
	`{"code":3,"message":"No more connections"}`

// gate is the door of a listener. It counts the connections that are open, also
// those that have sent nothing yet, and turns away those above a limit, or above
// that of their address: such a client hears it at once and can go elsewhere,
// while one that is left to the kernel waits for a file that nobody gives back,
// and the control API with it.
type gate struct {
	net.Listener

	// Static.
	gateOptions
	addresses *ratelimit.Addresses
	farewells chan struct{} // has a token for each that is under way
	closing   chan struct{}

	open      atomic.Int64
	turned    atomic.Uint64
	exhausted atomic.Uint64
	leaving   sync.WaitGroup
	once      sync.Once

	// Guarded by mu, which is held with no other lock.
	mu      sync.Mutex
	silent  map[*passage]struct{} // those that have sent nothing yet
	hurried bool
}

// gateOptions configures a gate.
type gateOptions struct {
	places     int64  // how many connections there may be, 0 for any number
	lobby      *lobby // nil if connections needn't show a key; it counts them then
	perAddress ratelimit.AddressOptions
	farewell   string // empty behind TLS, where nobody could read it
	log        *slog.Logger
}

// newGate puts a gate in front of what listens. The connections that come
// through it must be TCP.
func newGate(l net.Listener, o gateOptions) *gate {
	return &gate{
		Listener:    l,
		gateOptions: o,
		addresses:   ratelimit.NewAddresses(o.perAddress),
		farewells:   make(chan struct{}, maxFarewells),
		closing:     make(chan struct{}),
		silent:      make(map[*passage]struct{}),
	}
}

// Accept implements [net.Listener]. It is called by one goroutine, and returns
// an error only when nothing of the gate's is under way any more.
func (g *gate) Accept() (net.Conn, error) {
	wait := minBackOff
	for {
		nc, err := g.Listener.Accept()
		switch {
		case err != nil && isExhausted(err):
			g.exhausted.Add(1)
			g.log.Warn("new clients wait: "+err.Error(), "listener", g.Addr().String(), "open", g.open.Load())
			g.backOff(wait)
			wait = min(2*wait, maxBackOff)
			continue
		case err != nil:
			g.leaving.Wait()
			return nil, err
		}
		wait = minBackOff
		tcp, ok := nc.(*net.TCPConn)
		if !ok { // never, on a TCP listener
			return nc, nil
		}
		if p := g.admit(tcp); p != nil {
			return p, nil
		}
	}
}

// admit returns nil for a connection that can't come in, which it has closed or
// will close.
func (g *gate) admit(tcp *net.TCPConn) *passage {
	p := &passage{TCPConn: tcp, gate: g, from: realip.Address(tcp.RemoteAddr().String())}
	switch {
	case g.lobby != nil:
		return g.admitToLobby(p)
	case g.open.Add(1) > g.places && g.places > 0:
		g.open.Add(-1)
		g.turnAway(tcp, "there are as many connections as there may be", "limit", g.places)
	case g.addresses.Enter(p.from) != ratelimit.Admitted:
		g.open.Add(-1)
		g.turnAway(tcp, "their address has as many connections as it may have", "limit", g.perAddress.PerAddress, "address", p.from.String())
	case !g.enter(p):
		_ = p.Close() // it comes too late
	default:
		return p
	}
	return nil
}

// admitToLobby returns nil if the listener is about to end.
func (g *gate) admitToLobby(p *passage) *passage {
	g.open.Add(1)
	if evicted := g.lobby.enter(p); evicted != nil {
		g.log.Warn("a connection without an API key was closed for a new one; there are too many of them",
			"listener", g.Addr().String(), "address", evicted.from.String(), "limit", lobbyPlaces, "limit_per_address", lobbyShare)
		_ = evicted.Close() // an error means that it has been closed
	}
	if !g.enter(p) {
		_ = p.Close() // as above
		return nil
	}
	return p
}

// enter reports whether a connection may still come.
func (g *gate) enter(p *passage) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.hurried {
		g.silent[p] = struct{}{}
	}
	return !g.hurried
}

// heard is told of a connection that isn't silent any more, or not there.
func (g *gate) heard(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.silent, p)
}

// hurry is for a server that is about to end, and would wait for connections
// of which it can't tell whether they are in use: no more come in, and those
// that go on to send nothing are closed soon.
func (g *gate) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hurried = true
	if len(g.silent) > 0 {
		time.AfterFunc(lastWord, g.dismiss)
	}
}

// dismiss closes the connections that have sent nothing.
func (g *gate) dismiss() {
	g.mu.Lock()
	silent := slices.Collect(maps.Keys(g.silent))
	g.mu.Unlock()
	for _, p := range silent {
		_ = p.Close() // an error means that it has been closed
	}
}

// isExhausted tells an error that passes by itself, when others have given back
// what is missing, from the end of the listener.
func isExhausted(err error) bool {
	for _, passing := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func (g *gate) backOff(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.closing:
	}
}

// turnAway tells a client that there is no place, and doesn't wait for it.
func (g *gate) turnAway(tcp *net.TCPConn, why string, attrs ...any) {
	g.turned.Add(1)
	g.log.Warn("new clients are turned away: "+why, append([]any{"listener", g.Addr().String()}, attrs...)...)
	select {
	case g.farewells <- struct{}{}:
		g.leaving.Go(func() {
			g.sayFarewell(tcp)
			<-g.farewells
		})
	default:
		_ = tcp.Close() // nobody can be told
	}
}

// sayFarewell reads what the client sends until it has gone: closing with it
// unread could make its system throw the answer away.
func (g *gate) sayFarewell(tcp *net.TCPConn) {
	defer func() { _ = tcp.Close() }() // as above
	if g.farewell == "" || tcp.SetDeadline(time.Now().Add(farewellTime)) != nil {
		return
	}
	if _, err := io.WriteString(tcp, g.farewell); err == nil && tcp.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, tcp) // an error means that it has gone
	}
}

// Close implements [net.Listener].
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closing) })
	return g.Listener.Close()
}

// passage is a connection that has come through a gate, which it tells of its
// first word and of its end.
type passage struct {
	*net.TCPConn
	gate   *gate
	from   netip.Addr
	spoke  atomic.Bool
	closed atomic.Bool
	keyed  atomic.Bool   // it has left the lobby; set with the lobby's lock held
	place  *list.Element // in the lobby, nil if it isn't there; guarded by the lobby's lock
}

// Read implements [net.Conn].
func (p *passage) Read(b []byte) (int, error) {
	n, err := p.TCPConn.Read(b)
	if n > 0 && !p.spoke.Load() {
		p.spoke.Store(true)
		p.gate.heard(p)
	}
	if n > 0 && p.gate.lobby != nil && !p.keyed.Load() {
		p.gate.lobby.heard(p)
	}
	return n, err
}

// ShowKey implements [api.KeyedConn].
func (p *passage) ShowKey() bool {
	return p.gate.lobby == nil || p.keyed.Load() || p.gate.lobby.admit(p)
}

// Close implements [net.Conn].
func (p *passage) Close() error {
	err := p.TCPConn.Close()
	if !p.closed.Swap(true) {
		p.gate.open.Add(-1)
		if p.gate.lobby != nil {
			p.gate.lobby.leave(p)
		} else {
			p.gate.addresses.Leave(p.from)
		}
		p.gate.heard(p)
	}
	return err
}

// Plain implements [engineio.Wrapped]: a passage is read and written as its socket.
func (p *passage) Plain() net.Conn { return p.TCPConn }

// collectors are the gate's metrics. name is what logs call the listener.
func (g *gate) collectors(name string) []prometheus.Collector {
	labels := prometheus.Labels{"listener": name}
	turned := func() float64 { return float64(g.turned.Load()) }
	var more []prometheus.Collector
	if g.lobby != nil {
		turned = func() float64 {
			_, _, refused := g.lobby.counts()
			return float64(refused)
		}
		more = g.lobby.collectors(labels)
	}
	return append(more,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sala_listener_connections", Help: "TCP connections that are open, also those that have sent nothing yet.", ConstLabels: labels,
		}, func() float64 { return float64(g.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sala_listener_turned_away_total", Help: "TCP connections above the limit, or that of their address, which were closed at once.", ConstLabels: labels,
		}, turned),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sala_listener_exhausted_total", Help: "How often nothing could be accepted for want of open files or kernel memory.", ConstLabels: labels,
		}, func() float64 { return float64(g.exhausted.Load()) }),
	)
}
