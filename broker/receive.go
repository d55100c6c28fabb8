package broker

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/realip"
	"github.com/salabroker/sala/broker/socketio"
)

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
	case p.Type == parser.ACK && p.HasID && s != nil && s.receiveAck(p):
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

// idle reports whether the client is in no namespace and no attachment is due.
func (c *client) idle() bool { return c.held == nil && len(c.all()) == 0 }

// refuseParser tells a client that speaks MessagePack that the broker doesn't. Without an answer that it understands, the
// client would connect again and again.
func (c *client) refuseParser(namespace string) {
	const message = "the broker speaks the standard protocol; leave the option parser of the client out"
	frame := engineio.NewBinaryFrame(socketio.AppendMsgpackConnectError(nil, namespace, ReasonUnknownParser, message))
	c.refuseWith(frame, namespace, ReasonUnknownParser, ReasonUnknownParser)
}

// mayAct counts a packet that the client has sent of its own accord.
func (c *client) mayAct() bool { return c.usage.events.Take(c.b.rates.events, 1, c.b.uptime()) }

// mayJoin counts that the client wants to join or leave a room.
func (c *client) mayJoin() *Error {
	if c.usage.joins.Take(c.b.rates.joins, 1, c.b.uptime()) {
		return nil
	}
	return c.exceed(limitJoins)
}

// exceed counts that a client is over a limit, and disconnects one that goes on.
// It returns what to say to the client.
func (c *client) exceed(name string) *Error {
	err := &Error{Code: CodeResourceExhausted, Reason: ReasonRateLimited}
	switch name {
	case limitEvents:
		err.Message = fmt.Sprintf("more than %d events in a second; send them more slowly", c.b.opts.Limits.Events)
	case limitJoins:
		err.Message = fmt.Sprintf("more than %d rooms joined or left in a second; do it more slowly", c.b.opts.Limits.Joins)
	}
	c.b.metrics.exceeded(name)
	if !c.usage.excess.Take(c.b.rates.excess, 1, c.b.uptime()) {
		c.expel(err)
	}
	return err
}

// refuseExcess answers a packet that is over the limit of events.
func (c *client) refuseExcess(s *socket, p *socketio.Packet) {
	err := c.exceed(limitEvents)
	if p.Type == parser.CONNECT {
		c.refuse(p.Namespace, err.Reason, err)
		return
	}
	c.b.metrics.received(eventUnhandled, err)
	if s != nil && p.Type == parser.EVENT {
		s.answerEvent(p, nil, err)
	}
}

// expel ends the sockets of a client, which hears why, and its connection.
func (c *client) expel(err *Error) {
	c.b.log.Info("client cut", "address", c.conn.RemoteAddress(), "reason", err.Reason, "error", err)
	for _, s := range c.all() {
		s.disconnect(err.Reason, err.Message)
	}
	c.conn.CloseAfterFlush(engineio.ReasonRateLimited)
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
