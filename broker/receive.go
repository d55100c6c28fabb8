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

// attachmentTime is how long the attachments of a packet may take to arrive after
// it. The heartbeat doesn't notice, because pongs may arrive between them.
const attachmentTime = 10 * time.Second

var errAttachmentsLate = errors.New("the attachments of a packet didn't follow it in time")

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
	c.closing = time.AfterFunc(b.opts.ConnectTimeout, c.closeIfEmpty)
	return c
}

// tokenOf returns the token of a client that doesn't send it as auth: from the
// URL, or else from the Authorization header.
func tokenOf(r *http.Request) string {
	if strings.Contains(r.URL.RawQuery, "token=") {
		if raw := r.URL.Query().Get("token"); raw != "" {
			return raw
		}
	}
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.Clone(strings.TrimSpace(raw)) // so that the rest of the header can be freed
	}
	return ""
}

// Text implements [engineio.Receiver].
func (c *client) Text(message []byte) {
	// Packets may be as large as what the connection keeps of a message, which is
	// less for a client that has no socket yet.
	c.decoder.MaxBytes = int(min(c.b.opts.MaxMessageBytes, c.conn.KeptBytes()-1))
	p, whole, err := c.decode(message)
	c.decoded(&p, len(message), whole, err)
}

// largeMessage is the size in bytes from which a message is decoded in turn. Smaller ones cost little
// more than the turn.
const largeMessage = 4 << 10

func (c *client) decode(message []byte) (p socketio.Packet, whole bool, err error) {
	if len(message) < largeMessage {
		return c.decoder.Text(message)
	}
	if free := c.b.turns.Try(); !free {
		c.b.turns.Take(realip.Address(c.conn.RemoteAddress()))
	}
	defer c.b.turns.Give()
	return c.decoder.Text(message)
}

// Binary implements [engineio.Receiver].
func (c *client) Binary(message []byte) {
	namespace, msgpack := socketio.MsgpackConnect(message)
	if msgpack && c.held == nil && len(c.all()) == 0 {
		c.refuseParser(namespace)
		return
	}
	p, whole, err := c.decoder.Binary(message)
	c.decoded(&p, len(message), whole, err)
}

// decoded receives a packet that is whole with this message, or counts what has
// arrived of it.
func (c *client) decoded(p *socketio.Packet, bytes int, whole bool, err error) {
	switch {
	case err != nil:
		c.cut(err)
	case whole:
		c.stopWaiting()
		c.receive(p)
	default:
		c.hold(bytes)
	}
}

// hold counts the bytes of a packet whose attachments haven't arrived yet.
func (c *client) hold(bytes int) {
	if c.held == nil {
		c.held = c.b.holds.Hold(realip.Address(c.conn.RemoteAddress()), c.conn.EndUnfinished)
	}
	if fits := c.held.Grow(int64(bytes)); !fits {
		c.conn.EndUnfinished()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.awaitAttachments(c.b.attachmentTime)
	}
}

// awaitAttachments cuts the connection if attachments don't arrive in time. Time in
// which the connection isn't read doesn't count. c.mu is held.
func (c *client) awaitAttachments(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		late := c.waiting == timer
		rest := time.Until(c.conn.PausedUntil().Add(c.b.attachmentTime))
		if late && rest > 0 {
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

// receive carries out a packet. Acks that were requested and disconnects don't
// count against the limit of events.
func (c *client) receive(p *socketio.Packet) {
	s := c.socket(p.Namespace)
	expected := false
	switch p.Type {
	case parser.DISCONNECT:
		expected = c.disconnected(s, p.Namespace)
	case parser.ACK:
		if s != nil && p.HasID {
			expected = s.receiveAck(p)
		}
	}
	if expected {
		return
	}
	allowed := c.usage.events.Take(c.b.rates.events, 1, c.b.uptime())
	if !allowed {
		c.refuseExcess(s, p)
		return
	}
	switch {
	case c.isAdmins(p):
		c.receiveAdmin(p)
	case p.Type == parser.CONNECT:
		c.connect(s, p)
	case s == nil: // the packet may have been on its way when the socket ended
		c.b.metrics.received(eventUnhandled, errNotConnected())
	case p.Type == parser.EVENT:
		c.b.handleEvent(s, p)
	case p.Type == parser.ACK:
		c.b.metrics.acks.WithLabelValues(ackLate).Inc()
	}
}

// disconnected ends the socket that the client disconnects, or the wait for it if
// backends are still deciding. It reports whether there was either.
func (c *client) disconnected(s *socket, namespace string) bool {
	if s == nil {
		return c.withdraw(namespace)
	}
	s.endOver(c, endedByClient)
	return true
}

// refuseParser answers a client that speaks MessagePack, which the broker doesn't.
// Without an answer that it understands, it would connect again and again.
func (c *client) refuseParser(namespace string) {
	const message = "the broker speaks the standard protocol; remove the parser option of the client"
	frame := engineio.NewBinaryFrame(socketio.AppendMsgpackConnectError(nil, namespace, ReasonUnknownParser, message))
	c.refuseWith(frame, namespace, "", ReasonUnknownParser, &Error{Code: CodeInvalidArgument, Reason: ReasonUnknownParser, Message: message})
}

// exceedJoins counts a join or leave, and returns the error if there are too many.
func (c *client) exceedJoins() *Error {
	allowed := c.usage.joins.Take(c.b.rates.joins, 1, c.b.uptime())
	if allowed {
		return nil
	}
	return c.exceed(limitJoins, fmt.Sprintf("more than %d rooms joined or left in a second; do it more slowly", c.b.opts.Limits.Joins))
}

// exceedJoins is [client.exceedJoins] of the socket's connection. A socket that has
// just lost it joins and leaves as often as it likes, which is once.
func (s *socket) exceedJoins() *Error {
	if c := s.client.Load(); c != nil {
		return c.exceedJoins()
	}
	return nil
}

// exceed counts that a client is over a limit, and disconnects one that goes on. It
// returns the error for the client.
func (c *client) exceed(name, message string) *Error {
	err := &Error{Code: CodeResourceExhausted, Reason: ReasonRateLimited, Message: message}
	c.b.metrics.exceeded(name)
	c.noteLimit(name, err)
	tolerated := c.usage.excess.Take(c.b.rates.excess, 1, c.b.uptime())
	if !tolerated {
		c.expel(err)
	}
	return err
}

// noteLimit records that the connection has hit a limit, with one of its sockets.
func (c *client) noteLimit(name string, err *Error) {
	namespace, user := "", ""
	if sockets := c.all(); len(sockets) > 0 {
		namespace, user = sockets[0].ns.name, sockets[0].user
	}
	c.b.noteLimit(name, namespace, user, c.conn.RemoteAddress(), err)
}

// refuseExcess answers a packet that is over the limit of events.
func (c *client) refuseExcess(s *socket, p *socketio.Packet) {
	err := c.exceed(limitEvents, fmt.Sprintf("more than %d events in a second; send them more slowly", c.b.opts.Limits.Events))
	if p.Type == parser.CONNECT {
		c.refuse(p.Namespace, "", err.Reason, err)
		return
	}
	if s != nil && p.Type == parser.EVENT {
		c.b.finishEvent(s, p, eventUnhandled, nil, err)
	} else {
		c.b.metrics.received(eventUnhandled, err)
	}
}

// expel disconnects the sockets of a client with the reason, and closes its
// connection.
func (c *client) expel(err *Error) {
	c.b.log.Info("client cut", "address", c.conn.RemoteAddress(), "reason", err.Reason, "error", err)
	for _, s := range c.all() {
		s.disconnect(err.Reason, err.Message)
	}
	c.conn.CloseAfterFlush(engineio.ReasonRateLimited)
}

// Confirmed implements [engineio.Receiver].
func (c *client) Confirmed(position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.session != nil {
			s.confirm(c, position)
		}
	}
	for _, s := range c.deciding {
		s.notePong(c, position)
	}
}

// Paused implements [engineio.Receiver].
func (c *client) Paused() {
	c.b.metrics.exceeded(limitBytes)
	c.noteLimit(limitBytes, &Error{
		Code: CodeResourceExhausted, Reason: ReasonRateLimited,
		Message: fmt.Sprintf("more than %d bytes in a second; the client has to wait, and loses nothing", c.b.opts.Limits.Bytes),
	})
}

// Closed implements [engineio.Receiver].
func (c *client) Closed(reason engineio.Reason, _ error) {
	if reason == engineio.ReasonUnfinished {
		c.noteLimit(limitUnfinished, &Error{
			Code: CodeResourceExhausted, Reason: ReasonRateLimited,
			Message: "the bytes of an unfinished message were needed for others, and the connection was closed",
		})
	}
	c.stopWaiting()
	c.mu.Lock()
	c.ended = true
	if c.closing != nil {
		c.closing.Stop()
		c.closing = nil
	}
	sockets := c.sockets
	c.stopReturns()
	c.sockets, c.deciding = nil, nil
	c.mu.Unlock()
	undelivered := c.conn.Undelivered()
	for _, s := range sockets {
		if s.session == nil { // a session has them still
			s.noteDropped(engineio.DropUndelivered, undelivered)
		}
		if s.session != nil && c.b.outlives(reason) {
			s.lose(c, string(reason))
		} else {
			s.endOver(c, string(reason))
		}
	}
	if c.b.admin != nil {
		c.b.admin.Closed(c.conn)
	}
	c.b.admission.leave(c.conn.RemoteAddress())
}
