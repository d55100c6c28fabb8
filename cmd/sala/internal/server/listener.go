package server

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
	"time"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/cmd/sala/internal/certs"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/framing"
)

// Limits of the HTTP servers. There is none on how long a response may take:
// long polls, web sockets and streams last.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// maxControlConnections bounds those of each control listener that have shown
	// a key. A backend has one over gRPC and a few over REST.
	maxControlConnections = 1024
	// transports is how many TCP connections a client may need at a time: one for
	// each of a poll, a post, and the WebSocket that it upgrades to.
	transports = 3
)

// listener is a bound port and, if it speaks HTTP, its server.
type listener struct {
	name, flag string
	tls        *certs.Source // nil for plain TCP
	net        net.Listener
	gate       *gate        // which net is
	server     *http.Server // nil for gRPC
}

// bind explains what to do if the port can't be had.
func bind(ctx context.Context, l config.Listener) (*listener, error) {
	var lc net.ListenConfig
	if l.Flag == config.PublicFlag {
		// TCP's own keep-alive finds nothing that Socket.IO's heartbeat
		// doesn't, and costs every new client four system calls.
		lc.KeepAlive = -1
	}
	bound, err := lc.Listen(ctx, "tcp", l.Addr)
	switch {
	case err == nil:
		if l.Flag == config.PublicFlag {
			bound = newUnhurried(bound) // the control API is never in the way
		}
		return &listener{name: l.Name, flag: l.Flag, tls: l.TLS, net: bound}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s: the port is taken; stop what listens there (another sala?) or choose another with %s", l.Flag, l.Addr, l.Flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s: this user may not listen on that port; choose one from 1024 on", l.Flag, l.Addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s %s: this machine doesn't have that address", l.Flag, l.Addr)
	default:
		return nil, fmt.Errorf("%s %s: %w", l.Flag, l.Addr, err)
	}
}

// port is the port that was bound, if the address said 0.
func (l *listener) port() int {
	_, port, _ := net.SplitHostPort(l.net.Addr().String())
	n, _ := strconv.Atoi(port) // a bound TCP address has a port
	return n
}

// url is an address under which this machine reaches the listener.
func (l *listener) url() string {
	scheme := "http"
	if l.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + l.reachable()
}

// reachable is host and port; where all interfaces are meant, loopback does.
func (l *listener) reachable() string {
	addr, ok := l.net.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsUnspecified() {
		return l.net.Addr().String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
}

// tlsOrPlain is the bound listener of gRPC, behind TLS if it is to have that.
func (l *listener) tlsOrPlain() net.Listener {
	if l.tls == nil {
		return l.net
	}
	return tls.NewListener(l.net, l.tls.Config())
}

// guard puts a gate in front of the public listener, for so many connections, 0
// for any number.
func (l *listener) guard(places int64, perAddress ratelimit.AddressOptions, log *slog.Logger) {
	words := farewell
	if l.tls != nil {
		words = "" // nobody could read them
	}
	l.guardBy(gateOptions{places: places, perAddress: perAddress, farewell: words}, log)
}

// guardCallers puts a gate in front of a control listener.
func (l *listener) guardCallers(log *slog.Logger) { l.guardBy(gateOptions{lobby: newLobby()}, log) }

func (l *listener) guardBy(o gateOptions, log *slog.Logger) {
	o.log = slog.New(newSparse(log.Handler()))
	l.gate = newGate(l.net, o)
	l.net = l.gate
}

// newServer speaks HTTP/1.1 alone, which WebSocket needs.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         framing.ConnState,
		ErrorLog:          slog.NewLogLogger(newSparse(log.Handler()), slog.LevelWarn),
	}
}

func (l *listener) serveHTTP() error {
	plain := l.net
	if l.flag == config.HTTPFlag {
		plain = api.ExplainHTTPErrors(plain)
	}
	var secure *tls.Config
	if l.tls != nil {
		secure = l.tls.Config()
	}
	return l.server.Serve(framing.Listener(plain, secure, readHeaderTimeout, l.server.ErrorLog))
}

// shutdown waits for requests under way, and cuts them when ctx ends.
func (l *listener) shutdown(ctx context.Context) error {
	l.gate.hurry()
	err := l.server.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, l.server.Close())
	}
	return nil
}

// close frees the port if nothing has been served on it.
func (l *listener) close(context.Context) error {
	if err := l.net.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
