package engineio

import (
	"crypto/tls"
	"net"
	"syscall"
)

// TLSServer is [tls.Server] for the connections of a [Server]. With it, idle WebSockets over TLS wait
// without a goroutine, as those over plain sockets do.
func TLSServer(nc net.Conn, config *tls.Config) *tls.Conn {
	return tls.Server(&tlsSocket{Conn: nc}, config)
}

// tlsSocket is the connection below TLS. Its reads wait for something to arrive or, in a call of
// [link.readNow], fail with errIdle if nothing has.
//
// crypto/tls only makes errors permanent that aren't temporary. After errIdle it goes on where it
// was: it keeps the part of a record, or of a KeyUpdate, that has arrived. It asks for more only when
// everything that it has decrypted has been read, so nothing stays behind when a connection is
// parked.
type tlsSocket struct {
	net.Conn
	raw syscall.RawConn // nil until there is a link, and if Conn isn't a socket; static after that

	// Owned by the goroutine that reads.
	now     bool                  // reads don't wait
	drained bool                  // the last read took all there was
	attempt func(fd uintptr) bool // s.tryOnce, bound once
	buf     []byte                // the argument of tryOnce
	n       int                   // its results
	err     error
}

// socketBelow returns the socket below TLS if nc came from [TLSServer]; otherwise nil.
func socketBelow(nc net.Conn) *tlsSocket {
	secured, ok := nc.(interface{ NetConn() net.Conn })
	if !ok {
		return nil
	}
	s, ok := secured.NetConn().(*tlsSocket)
	if !ok {
		return nil
	}
	s.raw = rawConn(s.Plain())
	if s.raw == nil {
		return nil
	}
	s.attempt = s.tryOnce
	return s
}

// Plain implements [Wrapped], for closing.
func (s *tlsSocket) Plain() net.Conn { return plain(s.Conn) }

// Read implements [net.Conn].
func (s *tlsSocket) Read(p []byte) (int, error) {
	drained := s.drained
	s.drained = false
	switch {
	case !s.now:
		return s.Conn.Read(p)
	case drained:
		return 0, errIdle // the poller reports what has arrived since
	}
	s.buf = p
	err := s.raw.Read(s.attempt)
	s.buf = nil
	if err != nil {
		return 0, err
	}
	s.drained = s.n > 0 && s.n < len(p)
	return s.n, s.err
}

// tryOnce reads what is there.
func (s *tlsSocket) tryOnce(fd uintptr) bool {
	var blocked bool
	s.n, blocked, s.err = tryRead(fd, s.buf)
	if blocked {
		s.err = errIdle
	}
	return true
}
