package broker

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/realip"
	"github.com/salabroker/sala/broker/socketio"
)

const (
	// linger is how long a connection may stay that carries no socket any
	// more. Stock clients close theirs at once; this is for those that don't.
	linger = 2 * time.Second
	// maxRefusals is how often a connection may be refused before it is
	// closed. Each refusal costs the check of a token and a line of the log.
	maxRefusals = 10
	// attachmentTime is how long the attachments of a packet may take to follow
	// it. The heartbeat doesn't notice: pongs may stand between them.
	attachmentTime = 10 * time.Second
)

// client is one connection and the sockets that it carries, at most one in
// each namespace.
type client struct {
	// Static.
	b     *Broker
	conn  *engineio.Conn
	token string // what the URL or the Authorization header brought

	// Owned by the goroutine that reads the connection.
	decoder socketio.Decoder
	usage   usage
	held    *ratelimit.Hold // what has arrived of a packet whose attachments are due

	mu       sync.Mutex
	waiting  *time.Timer // runs while attachments are due
	sockets  []*socket
	deciding []*socket   // that backends are being asked about
	closing  *time.Timer // runs while there is no socket
	refusals int
	ended    bool
}

// Open implements [engineio.Handler].
func (b *Broker) Open(conn *engineio.Conn, r *http.Request) engineio.Receiver {
	c := &client{
		b:     b,
		conn:  conn,
		token: tokenOf(r),
		decoder: socketio.Decoder{
			MaxAuthBytes:   b.opts.maxAuthBytes(),
			MaxAttachments: b.opts.MaxAttachments,
		},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = time.AfterFunc(b.opts.ConnectTimeout, c.expire)
	return c
}

// tokenOf finds the token where clients put it that don't send it as auth: in
// the URL, or else in the Authorization header.
func tokenOf(r *http.Request) string {
	if strings.Contains(r.URL.RawQuery, "token=") {
		if raw := r.URL.Query().Get("token"); raw != "" {
			return raw
		}
	}
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.Clone(strings.TrimSpace(raw)) // not the whole header
	}
	return ""
}

// Text implements [engineio.Receiver].
func (c *client) Text(message []byte) {
	c.limitPackets()
	p, ok, err := c.decoder.Text(message)
	c.take(&p, len(message), ok, err)
}

// Binary implements [engineio.Receiver].
func (c *client) Binary(message []byte) {
	if namespace, ok := socketio.MsgpackConnect(message); ok && c.idle() {
		c.refuseParser(namespace)
		return
	}
	p, ok, err := c.decoder.Binary(message)
	c.take(&p, len(message), ok, err)
}

// limitPackets has packets be no larger than the client may send at the moment:
// the messages of one without a socket don't arrive to their end.
func (c *client) limitPackets() {
	c.decoder.MaxBytes = int(min(c.b.opts.MaxMessageBytes, c.conn.KeptBytes()-1))
}

// take receives a packet that is whole with this message, or holds what there is
// of it.
func (c *client) take(p *socketio.Packet, bytes int, ok bool, err error) {
	switch {
	case err != nil:
		c.cut(err)
	case ok:
		c.stopWaiting()
		c.receive(p)
	default:
		c.hold(bytes)
	}
}

// hold counts what has arrived of a packet, whose attachments have to follow.
func (c *client) hold(bytes int) {
	if c.held == nil {
		c.held = c.b.holds.Hold(realip.Address(c.conn.RemoteAddress()), c.conn.Hoards)
	}
	if !c.held.Grow(int64(bytes)) {
		c.conn.Hoards()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.awaitAttachments(c.b.attachmentTime)
	}
}

// awaitAttachments cuts the connection if attachments don't come in time. Time in
// which nothing is read from it doesn't count. The caller holds mu.
func (c *client) awaitAttachments(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		late := c.waiting == timer
		if rest := time.Until(c.conn.PausedUntil().Add(c.b.attachmentTime)); late && rest > 0 {
			late = false
			c.awaitAttachments(rest)
		}
		c.mu.Unlock()
		if late {
			c.cut(errAttachmentsLate)
		}
	})
	c.waiting = timer
}

var errAttachmentsLate = errors.New("the attachments of a packet didn't follow it in time")

// stopWaiting ends the wait for attachments, if there is one.
func (c *client) stopWaiting() {
	if c.held == nil {
		return
	}
	c.held.Release()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.Stop()
	c.held, c.waiting = nil, nil
}

// receive does what a packet asks for, if it is within the limits. Answers that
// were asked for and goodbyes always are.
func (c *client) receive(p *socketio.Packet) {
	s := c.socket(p.Namespace)
	switch {
	case p.Type == parser.DISCONNECT && s != nil:
		s.end(endedByClient)
	case p.Type == parser.DISCONNECT && c.withdraw(p.Namespace):
	case p.Type == parser.ACK && p.HasID && s != nil && s.answer(p):
	default:
		if !c.mayAct() {
			c.refuseExcess(s, p)
			return
		}
		c.act(s, p)
	}
}

// act does what a packet asks for that is within the limits. One for a namespace
// that the client isn't in is ignored: it may have been on its way when the
// socket ended.
func (c *client) act(s *socket, p *socketio.Packet) {
	switch {
	case p.Type == parser.CONNECT && (s != nil || c.awaits(p.Namespace)):
		c.cut(errors.New("a second CONNECT for the same namespace"))
	case p.Type == parser.CONNECT:
		c.connect(p)
	case s == nil:
		c.b.metrics.received(eventUnhandled, errNotConnected())
	case p.Type == parser.EVENT && p.Refusal != "":
		err := invalidEvent(p.Refusal)
		c.b.metrics.received(eventUnhandled, err)
		s.answerEvent(p, nil, err)
	case p.Type == parser.EVENT:
		c.b.handle(s, p)
	case p.Type == parser.ACK:
		c.b.metrics.acks.WithLabelValues(ackLate).Inc()
	}
}

// socket returns the client's socket in a namespace, nil if it has none.
func (c *client) socket(namespace string) *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.ns.name == namespace {
			return s
		}
	}
	return nil
}

// cut closes the connection of a client that doesn't keep to the protocol.
func (c *client) cut(err error) {
	reason := engineio.ReasonParseError
	if errors.Is(err, socketio.ErrTooLarge) {
		reason = engineio.ReasonMessageTooLarge
	}
	c.b.log.Info("client cut", "address", c.conn.RemoteAddress(), "reason", string(reason), "error", err)
	c.conn.CloseAfterFlush(reason)
}

// refuse tells the client why it can't connect to a namespace, and closes the
// connection of one that doesn't stop asking. counted is how the metrics call
// the reason.
func (c *client) refuse(namespace, counted string, err *Error) {
	frame := engineio.NewFrame(socketio.AppendConnectError(nil, namespace, connectError(err)))
	c.refuseWith(frame, namespace, counted, err.Reason)
}

func (c *client) refuseWith(frame *engineio.Frame, namespace, counted, reason string) {
	c.b.metrics.refused(counted)
	known := namespace
	if _, ok := c.b.namespaces[namespace]; !ok {
		known = "" // the client can have written anything there, its token too
	}
	c.b.log.Info("client refused", "namespace", known, "reason", reason, "address", c.conn.RemoteAddress())
	c.conn.Send(frame, false)
	c.mu.Lock()
	c.refusals++
	tooMany := c.refusals > maxRefusals
	c.mu.Unlock()
	if tooMany {
		c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
	}
}

// refuseParser tells a client that speaks MessagePack that the broker doesn't. Without an answer that it understands, the
// client would connect again and again.
func (c *client) refuseParser(namespace string) {
	const message = "the broker speaks the standard protocol; leave the option parser of the client out"
	frame := engineio.NewBinaryFrame(socketio.AppendMsgpackConnectError(nil, namespace, ReasonUnknownParser, message))
	c.refuseWith(frame, namespace, ReasonUnknownParser, ReasonUnknownParser)
}

// idle reports whether the client is in no namespace and no attachment is due.
func (c *client) idle() bool { return c.held == nil && len(c.all()) == 0 }

// attach lets enter add a socket, unless the connection has ended: then it
// reports false. The error is enter's. enter is called in the same step, so
// that whoever ends the connection either prevents it or finds the socket.
func (c *client) attach(s *socket, enter func() *Error) (attached bool, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false, nil
	}
	if err := enter(); err != nil {
		return false, err
	}
	if c.closing != nil {
		c.closing.Stop()
		c.closing = nil
	}
	c.sockets = append(c.sockets, s)
	c.conn.Established()
	return true, nil
}

// full reports whether the client is in as many namespaces as it may be.
func (c *client) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.b.opts.Limits.Namespaces
	return limit > 0 && int64(len(c.sockets)+len(c.deciding)) >= limit
}

// all returns the client's sockets.
func (c *client) all() []*socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sockets)
}

// detach forgets a socket. A connection without any is closed a little later.
func (c *client) detach(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets = slices.DeleteFunc(c.sockets, func(other *socket) bool { return other == s })
	if len(c.sockets) == 0 && !c.ended && c.closing == nil {
		c.closing = time.AfterFunc(linger, c.expire)
	}
}

// expire closes a connection that has carried no socket for too long.
func (c *client) expire() {
	c.mu.Lock()
	idle := c.closing != nil
	c.mu.Unlock()
	if idle {
		c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
	}
}

// Closed implements [engineio.Receiver].
func (c *client) Closed(reason engineio.Reason, _ error) {
	c.stopWaiting()
	c.mu.Lock()
	c.ended = true
	if c.closing != nil {
		c.closing.Stop()
		c.closing = nil
	}
	sockets := c.sockets
	c.sockets, c.deciding = nil, nil
	c.mu.Unlock()
	for _, s := range sockets {
		s.end(string(reason))
	}
	c.b.admission.leave(c.conn.RemoteAddress())
}
