package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// connsPerClient is how many TCP connections a client may need at a time: one each for a poll, a
// post and the WebSocket that it upgrades to.
const connsPerClient = 3

// Listener is a bound port and, if it speaks HTTP, its server. Its methods may be called
// concurrently, except that [Listener.Handle] comes before [Listener.Serve].
type Listener struct {
	config.Listener
	limits *limitListener
	log    *slog.Logger
	server *http.Server // nil for gRPC
}

// ClientLimits bounds the connections of clients.
type ClientLimits struct {
	// Connections is how many there may be, 0 for any number.
	Connections int64
	// PerAddress bounds the clients of one address. Each may have several connections.
	PerAddress ratelimit.AddressOptions
}

// Clients binds the port that Socket.IO clients connect to. The errors of both constructors say
// what to do.
func Clients(ctx context.Context, c config.Listener, bounds ClientLimits, log *slog.Logger) (*Listener, error) {
	// Socket.IO's heartbeat finds everything that TCP's own keep-alive would, and that costs each
	// new client four system calls.
	bound, err := bind(ctx, c, net.ListenConfig{KeepAlive: -1})
	if err != nil {
		return nil, err
	}
	bounds.PerAddress.PerAddress *= connsPerClient
	l := limits{connections: bounds.Connections, perAddress: bounds.PerAddress, answer: rejection}
	if c.TLS != nil {
		l.answer = "" // the client couldn't read it
	}
	return &Listener{Listener: c, limits: newLimitListener(newBackpressureListener(bound), l, log), log: log}, nil
}

// Control binds a port of the control API.
func Control(ctx context.Context, c config.Listener, log *slog.Logger) (*Listener, error) {
	bound, err := bind(ctx, c, net.ListenConfig{})
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: c, limits: newLimitListener(bound, limits{keyless: newKeylessPool()}, log), log: log}, nil
}

func bind(ctx context.Context, c config.Listener, lc net.ListenConfig) (net.Listener, error) {
	bound, err := lc.Listen(ctx, "tcp", c.Addr)
	switch {
	case err == nil:
		return bound, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s: the port is taken; stop what listens there (another sala?) or choose another port with %s", c.Flag, c.Addr, c.Flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s: this user may not listen on that port; choose port 1024 or higher", c.Flag, c.Addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s %s: this machine doesn't have that address", c.Flag, c.Addr)
	default:
		return nil, fmt.Errorf("%s %s: %w", c.Flag, c.Addr, err)
	}
}

// Port is the bound port, also if the address said 0.
func (l *Listener) Port() int {
	_, port, _ := net.SplitHostPort(l.Bound())
	n, _ := strconv.Atoi(port) // a bound TCP address has a port
	return n
}

// Bound is the bound address, as host:port.
func (l *Listener) Bound() string { return l.limits.Addr().String() }

// OnAll reports whether the listener listens on all addresses of this machine.
func (l *Listener) OnAll() bool {
	addr, ok := l.limits.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsUnspecified()
}

// HostPort is an address at which this machine reaches the listener: loopback if it listens on all
// addresses. Go listens on those of IPv4 then, too, also for [::].
func (l *Listener) HostPort() string {
	if !l.OnAll() {
		return l.Bound()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port()))
}

// URL is [Listener.HostPort] as a URL.
func (l *Listener) URL() string {
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + l.HostPort()
}

// Open returns how many connections are open.
func (l *Listener) Open() int64 { return l.limits.open.Load() }

// Collectors returns the listener's metrics.
func (l *Listener) Collectors() []prometheus.Collector { return l.limits.collectors(l.Name) }

// GRPC returns what a gRPC server serves: connections behind TLS if that is configured.
func (l *Listener) GRPC() net.Listener {
	if l.TLS == nil {
		return l.limits
	}
	return tls.NewListener(l.limits, l.TLS.Config())
}

// CloseIdle admits no more connections and soon closes those that have sent nothing. Call it before
// shutting down a server, which would wait for them.
func (l *Listener) CloseIdle() { l.limits.closeIdle() }

// Close frees the port. Closing twice is fine.
func (l *Listener) Close() error {
	if err := l.limits.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
