package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/broker"
)

// maxGuestCallsOfConn bounds the calls of a connection that need no key, health
// checks that are watched above all.
const maxGuestCallsOfConn = 16

const (
	// maxOpenCalls bounds the calls of a connection of which its peer hasn't been
	// sent the end: a peer that keeps to maxStreams has no more. gRPC itself counts
	// those alone that are still carried out.
	maxOpenCalls = maxStreams + 256
	// unreadShare is which part of the memory limit the answers over gRPC may take
	// that their callers don't read, and minUnread from how many bytes on a
	// connection is closed for that.
	unreadShare = 12
	minUnread   = 1 << 20
)

// KeyedConn is a connection whose listener tells those that have shown a valid
// key from others. The connections of a listener may implement it; below TLS they may
// too.
type KeyedConn interface {
	// ShowKey is called for each call with a valid key, concurrently. It reports
	// whether the connection may stay.
	ShowKey() bool
}

// keyedConn returns the KeyedConn that a connection is, or nil.
func keyedConn(c net.Conn) KeyedConn {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	keyed, _ := c.(KeyedConn)
	return keyed
}

// connKey is the context key of the [KeyedConn] of an HTTP request.
type connKey struct{}

// ConnContext is for [http.Server.ConnContext] of the server that serves
// [Server.HTTPHandler], so that its listener hears which connections have shown a key.
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if keyed := keyedConn(c); keyed != nil {
		return context.WithValue(ctx, connKey{}, keyed)
	}
	return ctx
}

// showKey tells the listener of an HTTP request that its connection has shown a
// key, and returns an error if the connection may not stay.
func (s *Server) showKey(ctx context.Context) error {
	if keyed, ok := ctx.Value(connKey{}).(KeyedConn); ok && !keyed.ShowKey() {
		s.metrics.refuse(refusedConnection)
		return tooManyConnections()
	}
	return nil
}

func tooManyConnections() error {
	return apierror.Exhausted(broker.ReasonTooManyConnections, "there are as many connections to the control API as there may be, in all or from this address; close some, or try again in a moment", time.Second)
}

// connCredentials has gRPC tell which connection a call came by. It secures
// nothing: TLS is the listener's.
type connCredentials struct {
	server *Server
}

// ServerHandshake implements credentials.TransportCredentials.
func (cc connCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.LocalAddr().Network() == inMemoryNetwork {
		return c, nil, nil
	}
	conn := &callerConn{Conn: c, server: cc.server, keyed: keyedConn(c), open: make(map[uint32]struct{})}
	return conn, conn, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (connCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

// Info implements credentials.TransportCredentials.
func (connCredentials) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{} }

// Clone implements credentials.TransportCredentials.
func (cc connCredentials) Clone() credentials.TransportCredentials { return cc }

// OverrideServerName implements credentials.TransportCredentials.
func (connCredentials) OverrideServerName(string) error { return nil }

// callerConn is a gRPC connection from the network. It ends when its peer keeps
// it busy with what brings no call nearer.
type callerConn struct {
	// Static.
	net.Conn
	server *Server
	keyed  KeyedConn // nil if the listener doesn't care

	trusted    atomic.Bool  // it has shown a key
	guestCalls atomic.Int64 // in flight
	written    atomic.Int64 // bytes that earn the peer frames

	// Used by the goroutine that reads.
	preface int // bytes of the client's preface that have been read
	read    frameScanner
	frames  frameBudget
	suspect bool // it had sent too much before anything of that was looked at

	wrote frameScanner // used by the goroutine that writes

	// Guarded by mu, which is held with no other lock.
	mu     sync.Mutex
	open   map[uint32]struct{} // calls of which the peer hasn't been sent the end
	unread int64               // bytes of answers that haven't been written
	closed bool
}

// AuthType implements credentials.AuthInfo.
func (*callerConn) AuthType() string { return "connection" }

// callerConnOf returns the connection of a call, nil if it came in memory.
func callerConnOf(ctx context.Context) *callerConn {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	conn, _ := from.AuthInfo.(*callerConn)
	return conn
}

// showKey notes that a call has shown a key, and returns an error if the
// connection may not stay.
func (c *callerConn) showKey() error {
	if c == nil {
		return nil
	}
	if c.keyed != nil && !c.keyed.ShowKey() {
		c.server.metrics.refuse(refusedConnection)
		return tooManyConnections()
	}
	if !c.trusted.Load() {
		c.trusted.Store(true)
	}
	return nil
}

// Read implements net.Conn. gRPC looks at all that it has read before it reads
// again: only then it is known whether a key was among it.
func (c *callerConn) Read(b []byte) (int, error) {
	trusted := c.trusted.Load()
	if c.suspect && !trusted {
		return 0, c.cutOff()
	}
	if c.suspect {
		c.suspect, c.frames.left = false, idleFrames
	}
	n, err := c.Conn.Read(b)
	fresh := b[:n]
	if c.preface < len(http2.ClientPreface) {
		known := min(n, len(http2.ClientPreface)-c.preface)
		c.preface += known
		fresh = fresh[known:]
	}
	within, open := true, 0
	c.read.scan(fresh, func(f frame) {
		within = c.frames.take(f, trusted, &c.written) && within
		open = max(open, c.received(f))
	})
	switch {
	case open > maxOpenCalls:
		return 0, c.abandon()
	case within:
		return n, err
	case trusted:
		return 0, c.cutOff()
	}
	c.suspect = true
	return n, err
}

// received notes which calls begin, or are given up, and returns how many are
// open.
func (c *callerConn) received(f frame) int {
	if f.kind != http2.FrameHeaders && f.kind != http2.FrameRSTStream {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.kind == http2.FrameRSTStream {
		c.end(f.stream)
	} else {
		c.open[f.stream] = struct{}{}
	}
	return len(c.open)
}

// end notes that nothing more is to be sent of a call. The caller holds mu.
func (c *callerConn) end(stream uint32) {
	delete(c.open, stream)
	if len(c.open) == 0 { // what was to be sent of calls that were given up isn't
		c.count(-c.unread)
	}
}

// count adds to what the peer is to be sent. The caller holds mu.
func (c *callerConn) count(bytes int64) {
	if !c.closed {
		c.unread += bytes
		c.server.unread.Add(bytes)
	}
}

// answer notes bytes that the peer is going to be sent. If it reads nothing while
// answers take too much memory, the connection ends.
func (c *callerConn) answer(bytes int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.count(int64(bytes))
	slow := c.unread > minUnread && c.server.unread.Load() > c.server.intake.maxUnread
	c.mu.Unlock()
	if slow {
		_ = c.abandon() // the goroutine that reads hears of it
		_ = c.Close()   // it can only have been closed before
	}
}

// abandon returns why a connection ends whose peer doesn't read.
func (c *callerConn) abandon() error {
	c.server.metrics.refuse(refusedUnread)
	c.server.log.Info("a gRPC connection was closed: its peer doesn't read the answers", slog.String("peer", c.RemoteAddr().String()))
	return errUnread
}

// cutOff returns why the connection ends, which gRPC ends then.
func (c *callerConn) cutOff() error {
	c.server.metrics.refuse(refusedFrames)
	c.server.log.Info("a gRPC connection was closed: it sent too many frames that bring no call nearer",
		slog.String("peer", c.RemoteAddr().String()))
	return errIdleFrames
}

var errIdleFrames = errors.New("too many frames that bring no call nearer")

var errUnread = errors.New("the peer doesn't read the answers to its calls")

// Write implements net.Conn.
func (c *callerConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.wrote.scan(b, c.sent)
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// sent notes which calls end, and what is written of answers. The caller holds mu.
func (c *callerConn) sent(f frame) {
	switch {
	case f.kind == http2.FrameData:
		c.count(-min(int64(f.length), c.unread))
	case f.kind == http2.FrameRSTStream, f.kind == http2.FrameHeaders && f.flags.Has(http2.FlagHeadersEndStream):
		c.end(f.stream)
	}
}

// Close implements net.Conn.
func (c *callerConn) Close() error {
	c.mu.Lock()
	c.count(-c.unread)
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}
