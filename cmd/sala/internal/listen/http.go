package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/salabroker/sala/api"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// Limits of the HTTP servers. A response may take any time: long polls, WebSockets and streams do.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Handle makes the listener's HTTP server and returns it, for adjustments before it serves. It
// speaks only HTTP/1.1, because WebSockets need that.
func (l *Listener) Handle(handler http.Handler) *http.Server {
	l.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         releaseScanner,
		ErrorLog:          slog.NewLogLogger(newSampledHandler(l.log.Handler()), slog.LevelWarn),
	}
	return l.server
}

// Serve serves until the listener or the server is closed.
func (l *Listener) Serve() error {
	var plain net.Listener = l.limits
	if l.Flag == config.HTTPFlag {
		plain = api.ExplainHTTPErrors(plain)
	}
	var secure *tls.Config
	if l.TLS != nil {
		secure = l.TLS.Config()
	}
	return l.server.Serve(newStrictListener(plain, secure, readHeaderTimeout, l.server.ErrorLog))
}

// CloseKeepAlives closes the HTTP connections that are between two requests.
func (l *Listener) CloseKeepAlives() {
	l.server.SetKeepAlivesEnabled(false) // closes them
	l.server.SetKeepAlivesEnabled(true)
}

// Shutdown waits for the requests under way, and aborts them when ctx ends.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.CloseIdle()
	if err := l.server.Shutdown(ctx); err != nil {
		return errors.Join(err, l.server.Close())
	}
	return nil
}
