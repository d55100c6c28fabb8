package framing

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// Logger is what failed handshakes are told to, such as a server's ErrorLog.
type Logger interface {
	Printf(format string, args ...any)
}

// Listener returns a listener for an [http.Server] whose connections are l's, or are behind TLS if config isn't nil,
// and are refused ambiguous requests. A TLS handshake may take timeout; those that fail are logged to errs.
func Listener(l net.Listener, config *tls.Config, timeout time.Duration, errs Logger) net.Listener {
	return &listener{Listener: l, config: config, timeout: timeout, errs: errs}
}

type listener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration
	errs    Logger
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.config == nil {
		return &conn{Conn: nc, scanner: &scanner{}}, nil
	}
	secured := tls.Server(nc, l.config)
	return &tlsConn{conn: conn{Conn: secured, scanner: &scanner{}}, tls: secured, listener: l}, nil
}

// ConnState is for [http.Server.ConnState] of a server on a [Listener]: what comes over a connection that has been taken
// over isn't HTTP any more.
func ConnState(nc net.Conn, state http.ConnState) {
	if state != http.StateHijacked {
		return
	}
	switch c := nc.(type) {
	case *conn:
		c.scanner = nil
	case *tlsConn:
		c.scanner = nil
	}
}

// conn is a connection whose requests are followed.
type conn struct {
	net.Conn
	scanner *scanner // nil once the connection doesn't carry HTTP any more; changed only when nobody reads
}

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.scanner != nil {
		c.scanner.scan(b[:n])
	}
	return n, err
}

// CloseWrite lets net/http end a connection so that its last answer arrives.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ShowKey implements [api.KeyedConn] for a listener whose connections do.
func (c *conn) ShowKey() bool { return showKey(c.Conn) }

func showKey(nc net.Conn) bool {
	keyed, ok := nc.(interface{ ShowKey() bool })
	return !ok || keyed.ShowKey()
}

// Plain implements [engineio.Wrapped]: it returns the socket, if there is nothing but wrapped sockets in between.
func (c *conn) Plain() net.Conn {
	if wrapped, ok := c.Conn.(interface{ Plain() net.Conn }); ok {
		return wrapped.Plain()
	}
	return c.Conn
}

// tlsConn is a conn behind TLS.
type tlsConn struct {
	conn
	tls      *tls.Conn
	listener *listener
}

// NetConn returns the connection below TLS, as [tls.Conn.NetConn] does.
func (c *tlsConn) NetConn() net.Conn { return c.tls.NetConn() }

// ShowKey implements [api.KeyedConn] for a listener whose connections do.
func (c *tlsConn) ShowKey() bool { return showKey(c.tls.NetConn()) }

// ConnectionState is called by net/http before it reads. It completes the handshake first, which net/http does by
// itself only for a [tls.Conn].
func (c *tlsConn) ConnectionState() tls.ConnectionState {
	if err := c.handshake(); err != nil {
		c.listener.errs.Printf("http: TLS handshake error from %s: %v", c.RemoteAddr(), err)
	}
	return c.tls.ConnectionState()
}

// handshake returns an error that reading returns too.
func (c *tlsConn) handshake() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.listener.timeout) // net/http has none for it
	defer cancel()
	err := c.tls.HandshakeContext(ctx)
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		// The same words as net/http's. If they can't be written, there is nobody to tell.
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
