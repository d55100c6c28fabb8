package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/salabroker/sala/broker/engineio"
)

// printfLogger is a server's ErrorLog.
type printfLogger interface {
	Printf(format string, args ...any)
}

// strictListener accepts connections for an [http.Server], behind TLS if config is set, and refuses
// HTTP/1 requests whose end is ambiguous. A proxy in front could see the end elsewhere and take a
// part of one request for the next (request smuggling, RFC 9112, section 11.2).
//
// net/http accepts a request with both Content-Length and Transfer-Encoding without telling the
// handler, ignores Transfer-Encoding in HTTP/1.0, and joins folded header lines. So each connection
// scans the requests that are read from it and makes such a header invalid before net/http sees it.
// net/http then answers 400 and closes the connection.
type strictListener struct {
	net.Listener
	config           *tls.Config
	handshakeTimeout time.Duration
	errs             printfLogger // gets failed handshakes
}

func newStrictListener(l net.Listener, config *tls.Config, handshakeTimeout time.Duration, errs printfLogger) *strictListener {
	return &strictListener{Listener: l, config: config, handshakeTimeout: handshakeTimeout, errs: errs}
}

// Accept implements [net.Listener].
func (l *strictListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.config == nil {
		return &strictConn{Conn: nc, scanner: &requestScanner{}}, nil
	}
	secured := engineio.TLSServer(nc, l.config)
	return &strictTLSConn{strictConn: strictConn{Conn: secured, scanner: &requestScanner{}}, tls: secured, below: nc, listener: l}, nil
}

// releaseScanner is the [http.Server.ConnState] of a server on a [strictListener]. A hijacked
// connection no longer carries HTTP.
func releaseScanner(nc net.Conn, state http.ConnState) {
	if state != http.StateHijacked {
		return
	}
	switch c := nc.(type) {
	case *strictConn:
		c.scanner = nil
	case *strictTLSConn:
		c.scanner = nil
	}
}

// strictConn is a connection whose requests are scanned.
type strictConn struct {
	net.Conn
	scanner *requestScanner // nil once the connection carries no HTTP; changed only while nobody reads
}

// Read implements [net.Conn].
func (c *strictConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.scanner != nil {
		c.scanner.scan(b[:n])
	}
	return n, err
}

// CloseWrite lets net/http close a connection without losing its last response.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ShowKey implements [api.KeyedConn] by way of the connection below.
func (c *strictConn) ShowKey(ended <-chan struct{}) bool { return showKey(c.Conn, ended) }

func showKey(nc net.Conn, ended <-chan struct{}) bool {
	keyed, ok := nc.(interface {
		ShowKey(ended <-chan struct{}) bool
	})
	return !ok || keyed.ShowKey(ended)
}

// Plain implements the Wrapped interface of package engineio: it returns the socket if there are
// only wrapped sockets in between.
func (c *strictConn) Plain() net.Conn {
	if wrapped, ok := c.Conn.(interface{ Plain() net.Conn }); ok {
		return wrapped.Plain()
	}
	return c.Conn
}

// strictTLSConn is a strictConn behind TLS.
type strictTLSConn struct {
	strictConn
	tls      *tls.Conn
	below    net.Conn // the connection that was accepted
	listener *strictListener
}

// NetConn returns the connection below TLS, as [tls.Conn.NetConn] does.
func (c *strictTLSConn) NetConn() net.Conn { return c.tls.NetConn() }

// ShowKey implements [api.KeyedConn] by way of the connection below TLS.
func (c *strictTLSConn) ShowKey(ended <-chan struct{}) bool { return showKey(c.below, ended) }

// ConnectionState completes the handshake first. net/http calls it before it reads, and completes
// the handshake itself only for a [tls.Conn].
func (c *strictTLSConn) ConnectionState() tls.ConnectionState {
	if err := c.handshake(); err != nil {
		c.listener.errs.Printf("http: TLS handshake error from %s: %v", c.RemoteAddr(), err)
	}
	return c.tls.ConnectionState()
}

// handshake returns the error that reads will return too.
func (c *strictTLSConn) handshake() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.listener.handshakeTimeout) // net/http has no context for it
	defer cancel()
	err := c.tls.HandshakeContext(ctx)
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		// This is net/http's answer. If it can't be written, there is nobody to tell.
		_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		_ = record.Conn.Close()
		return errors.New("client sent an HTTP request to an HTTPS server")
	}
	return err
}

// looksLikeHTTP reports whether what should be a TLS record is the start of a request.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	default:
		return false
	}
}
