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
	"github.com/salabroker/sala/api/auth"
	"github.com/salabroker/sala/broker"
)

// maxGuestCallsOfConn bounds the calls of a connection that need no key, such as watched
// health checks.
const maxGuestCallsOfConn = 16

const (
	// maxOpenCalls bounds the calls of a connection whose end hasn't been written. A peer
	// that respects maxStreams has fewer. gRPC itself counts only the calls that are still
	// being carried out.
	maxOpenCalls = maxStreams + 256
	// unreadShare is the part of the memory limit, as a divisor, that each key's answers over
	// gRPC may take until they are written. Each counts answerOverhead more than its bytes,
	// and each open call callOverhead.
	// Beyond the share, calls that read get no large answers, and connections with more than
	// minUnread bytes are closed that have written nothing for unreadPatience. Beyond twice
	// the share, others are closed too.
	unreadShare    = 16
	answerOverhead = 256
	callOverhead   = 4 << 10
	minUnread      = 64 << 10
	unreadPatience = 5 * time.Second
	// shedPause is how long a key that is beyond its share is left alone after a look at its
	// connections.
	shedPause = 10 * time.Millisecond
)

// KeyedConn is a connection whose listener distinguishes connections with a valid key
// from others. The connections that a listener accepts, or those below TLS, may implement
// it.
type KeyedConn interface {
	// ShowKey is called for each call with a valid key, concurrently. ended is closed
	// when the key isn't valid any more; it is the same for all calls with the key. ShowKey
	// reports whether the connection may stay.
	ShowKey(ended <-chan struct{}) bool
}

// keyedConn returns a connection as a KeyedConn, or nil.
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
// [Server.HTTPHandler]. It tells the listener which connections have shown a valid key.
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if keyed := keyedConn(c); keyed != nil {
		return context.WithValue(ctx, connKey{}, keyed)
	}
	return ctx
}

// showKey tells the listener of an HTTP request that the connection has shown a valid
// key. It returns an error if the connection may not stay.
func (s *Server) showKey(ctx context.Context, caller *auth.Caller) error {
	if keyed, ok := ctx.Value(connKey{}).(KeyedConn); ok && !keyed.ShowKey(caller.Ended()) {
		s.metrics.refuse(refusedConnection)
		return tooManyConnections()
	}
	return nil
}

func tooManyConnections() error {
	return apierror.Exhausted(broker.ReasonTooManyConnections, "too many connections to the control API are open, in total or from this address; close some, or try again in a moment", time.Second)
}

// connCredentials makes gRPC pass on the connection of each call. It secures nothing: TLS
// is the listener's.
type connCredentials struct {
	server *Server
}

// ServerHandshake implements credentials.TransportCredentials.
func (cc connCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn := &callerConn{Conn: c, server: cc.server, keyed: keyedConn(c), payer: cc.server.guests, open: make(map[uint32]struct{})}
	cc.server.conns.add(conn)
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

// callerConn is a gRPC connection from the network. It ends when its peer sends too many
// frames that serve no call, or leaves too many answers unread.
type callerConn struct {
	// Static.
	net.Conn
	server *Server
	keyed  KeyedConn // nil if the listener doesn't ask

	caller     atomic.Pointer[auth.Caller] // whose key it has shown last; nil for none
	guestCalls atomic.Int64                // in flight
	written    atomic.Int64                // bytes for which the peer may send frames

	// Used by the goroutine that reads.
	preface int // bytes of the client's preface that have been read
	read    frameScanner
	frames  frameBudget
	suspect bool // it has sent too much; gRPC may find a key in that

	sending frameScanner // used by the goroutine that writes

	// Guarded by mu, which is held with no other lock but that of the server's conns.
	mu       sync.Mutex
	open     map[uint32]struct{} // streams whose end hasn't been written
	unread   int64               // bytes of these and of answers that haven't been written
	payer    *auth.Caller        // against whose share they count: of the key that was shown last
	progress time.Time           // when a piece of one was last written, or they began to wait
	closed   bool
}

// AuthType implements credentials.AuthInfo.
func (*callerConn) AuthType() string { return "connection" }

// callerConnOf returns the connection of a call, nil if it came over REST.
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
func (c *callerConn) showKey(caller *auth.Caller) error {
	if c == nil {
		return nil
	}
	if c.keyed != nil && !c.keyed.ShowKey(caller.Ended()) {
		c.server.metrics.refuse(refusedConnection)
		return tooManyConnections()
	}
	if c.caller.Load() != caller {
		c.caller.Store(caller)
		c.charge(caller)
	}
	return nil
}

// charge has what waits on the connection count against a caller's share.
func (c *callerConn) charge(caller *auth.Caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.payer.Unwritten.Add(-c.unread)
		caller.Unwritten.Add(c.unread)
	}
	c.payer = caller
}

// trusted reports whether the connection has shown a key that is still valid.
func (c *callerConn) trusted() bool {
	caller := c.caller.Load()
	return caller != nil && caller.Cause() == nil
}

// Read implements net.Conn. gRPC handles everything that it has read before it reads
// again, so only the next Read knows whether there was a key in it.
func (c *callerConn) Read(b []byte) (int, error) {
	trusted := c.trusted()
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
	if open > 0 {
		c.relieve()
	}
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

// received notes calls that begin or are given up, and returns how many are open.
func (c *callerConn) received(f frame) int {
	if f.kind != http2.FrameHeaders && f.kind != http2.FrameRSTStream {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.kind == http2.FrameRSTStream {
		c.end(f.stream)
	} else if _, known := c.open[f.stream]; !known {
		c.open[f.stream] = struct{}{}
		c.count(callOverhead)
	}
	return len(c.open)
}

// end notes that nothing more will be written of a call. The caller holds mu.
func (c *callerConn) end(stream uint32) {
	if _, known := c.open[stream]; known {
		delete(c.open, stream)
		c.count(-callOverhead)
	}
}

// count adds to the bytes that wait to be written. The caller holds mu.
func (c *callerConn) count(bytes int64) {
	if c.closed {
		return
	}
	if c.unread == 0 {
		c.progress = time.Now()
	}
	c.unread += bytes
	c.payer.Unwritten.Add(bytes)
}

// relieve ends connections whose peers don't read if what waits on all connections of the payer of
// this one takes too much memory. It reports whether it still does.
func (c *callerConn) relieve() (tooMuch bool) {
	c.mu.Lock()
	payer := c.payer
	c.mu.Unlock()
	most := c.server.intake.maxUnread
	if payer.Unwritten.Load() <= most {
		return false
	}
	c.server.conns.shed(payer, most)
	return payer.Unwritten.Load() > most
}

// answer counts an answer until [callerConn.wrote] is called with what it returns. If the key's unread
// answers take too much memory although connections whose peers don't read have ended, a large answer
// that may be refused is.
func (c *callerConn) answer(size int, mayRefuse bool) (bytes int64, err error) {
	if c == nil {
		return 0, nil
	}
	bytes = int64(size) + answerOverhead
	c.mu.Lock()
	c.count(bytes)
	c.mu.Unlock()
	if c.relieve() && mayRefuse && size > smallCost {
		c.wrote(bytes)
		c.server.metrics.refuse(refusedAnswers)
		return 0, tooBusy()
	}
	return bytes, nil
}

// wrote notes that bytes are written, or never will be.
func (c *callerConn) wrote(bytes int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(-bytes)
}

// abandon counts and logs a connection whose peer doesn't read, and returns the error to
// end it with.
func (c *callerConn) abandon() error {
	c.server.metrics.refuse(refusedUnread)
	c.server.log.Info("a gRPC connection was closed: its peer doesn't read the answers", slog.String("peer", c.RemoteAddr().String()))
	return errUnread
}

// cutOff counts and logs a connection that sends too many frames, and returns the error
// to end it with.
func (c *callerConn) cutOff() error {
	c.server.metrics.refuse(refusedFrames)
	c.server.log.Info("a gRPC connection was closed: it sent too many frames that serve no call",
		slog.String("peer", c.RemoteAddr().String()))
	return errIdleFrames
}

var errIdleFrames = errors.New("too many frames that serve no call")

var errUnread = errors.New("the peer doesn't read the answers to its calls")

// Write implements net.Conn.
func (c *callerConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sending.scan(b, c.sent)
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// sent notes which calls end, and that the peer reads. The caller holds mu.
func (c *callerConn) sent(f frame) {
	if f.kind == http2.FrameData && f.length > 0 {
		c.progress = time.Now()
	}
	if f.kind == http2.FrameRSTStream || f.kind == http2.FrameHeaders && f.flags.Has(http2.FlagHeadersEndStream) {
		c.end(f.stream)
	}
}

// Close implements net.Conn.
func (c *callerConn) Close() error {
	c.server.conns.remove(c)
	c.mu.Lock()
	c.count(-c.unread)
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

// callerConns are the gRPC connections of a server.
type callerConns struct {
	patience time.Duration // static

	mu  sync.Mutex // held with no other lock but that of a connection
	all map[*callerConn]struct{}
	// looked is when shed last looked at the connections of a caller.
	looked map[*auth.Caller]time.Time
}

func newCallerConns() *callerConns {
	return &callerConns{patience: unreadPatience, all: make(map[*callerConn]struct{}), looked: make(map[*auth.Caller]time.Time)}
}

func (cs *callerConns) add(c *callerConn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.all[c] = struct{}{}
}

func (cs *callerConns) remove(c *callerConn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.all, c)
}

// shed ends connections whose peers don't read the answers that count against a caller's share,
// until those are within it.
func (cs *callerConns) shed(payer *auth.Caller, share int64) {
	for payer.Unwritten.Load() > share {
		c := cs.stalest(payer, share)
		if c == nil {
			return
		}
		_ = c.abandon() // Close makes the goroutine that reads return
		_ = c.Close()   // fails only if it was closed before
	}
}

// stalest returns the connection of a caller that has gone longest without writing an answer, of
// those that may end; nil for none.
func (cs *callerConns) stalest(payer *auth.Caller, share int64) (stalest *callerConn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now, much := time.Now(), payer.Unwritten.Load() > 2*share
	if !much && now.Sub(cs.looked[payer]) < shedPause {
		return nil
	}
	var progress time.Time
	for c := range cs.all {
		since, waits := c.waiting(payer)
		if waits && (much || now.Sub(since) >= cs.patience) && (stalest == nil || since.Before(progress)) {
			stalest, progress = c, since
		}
	}
	if stalest == nil {
		cs.looked[payer] = now
	}
	return stalest
}

// waiting reports whether many bytes wait on the connection that count against a caller's share,
// and since when none has been written.
func (c *callerConn) waiting(payer *auth.Caller) (since time.Time, many bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress, !c.closed && c.payer == payer && c.unread > minUnread
}
