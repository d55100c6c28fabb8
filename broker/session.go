package broker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/salabroker/sala/broker/engine"
	"github.com/salabroker/sala/broker/packet"
	"github.com/salabroker/sala/broker/token"
)

// session is a socket: one client in one namespace.
type session struct {
	// Static.
	b           *Broker
	ns          *namespace
	sock        *socket.Socket
	conn        *engine.Conn
	id          string
	claims      token.Claims
	connectTime time.Time
	// Set when the session enters, before anyone else can see it.
	expiry *time.Timer

	// opened says that the client has its CONNECT packet. Until then events
	// wait in early, so that it hears nothing before its own connect. It is
	// set with mu held.
	opened atomic.Bool
	mu     sync.Mutex
	early  []*engine.Frame
}

// maxEarly bounds what may wait for the CONNECT packet, which is written right
// behind the moment from which a session can be found.
const maxEarly = 1000

func newSession(b *Broker, ns *namespace, sock *socket.Socket, claims token.Claims) *session {
	conn, _ := engine.FromSocket(sock.Conn()) // there is no other engine
	s := &session{
		b:           b,
		ns:          ns,
		sock:        sock,
		conn:        conn,
		id:          string(sock.Id()),
		claims:      claims,
		connectTime: time.Now(),
	}
	// A middleware rather than a listener: it sees every event, and the
	// library does nothing more with one that isn't passed on.
	sock.Use(func(event []any, _ func(error)) { s.receive(event) })
	_ = sock.On("error", s.onError)
	return s
}

// onError is called for a packet that can't be read, right before the library
// closes the connection; this gives that its reason.
func (s *session) onError(args ...any) {
	err, _ := args[0].(error)
	reason := engine.ReasonParseError
	if errors.Is(err, packet.ErrTooLarge) {
		reason = engine.ReasonMessageTooLarge
	}
	s.b.log.Info("client cut", "socket", s.id, "namespace", s.ns.name, "user", s.claims.User, "reason", reason, "error", err)
	s.conn.CloseAfterFlush(reason)
}

func sessionOf(sock *socket.Socket) (*session, bool) {
	s, ok := sock.Data().(*session)
	return s, ok
}

// ID implements [fanout.Member].
func (s *session) ID() string { return s.id }

// User implements [fanout.Member].
func (s *session) User() string { return s.claims.User }

// enter makes the session a member of its namespace and of its token's rooms.
func (b *Broker) enter(s *session) {
	s.ns.index.Add(s)
	// It can't fail: admit checked the limit, and nobody else knows s yet.
	_, _ = s.ns.index.Join(s, s.claims.Rooms...)
	b.connections.attach(s.conn)
	if left, ok := untilExpiry(s.claims); ok {
		s.expiry = time.AfterFunc(left, func() {
			s.disconnect(token.ReasonExpired, "the token has expired")
		})
	}
	b.log.Debug("socket connected", "socket", s.id, "namespace", s.ns.name, "user", s.claims.User)
}

// exit undoes enter. The library calls it once for each session that entered.
func (b *Broker) exit(s *session) {
	if _, ok := s.ns.index.Remove(s); !ok {
		return
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	b.connections.detach(s.conn)
	b.log.Debug("socket disconnected", "socket", s.id, "namespace", s.ns.name, "user", s.claims.User)
}

// open lets the CONNECT packet go, and events behind it.
func (s *session) open() {
	s.conn.ForgetRequest()
	s.flushEarly()
	s.conn.Uncork()
	// The connection may have ended before the library knew that it carries
	// this socket: then nobody has told the socket.
	if s.conn.ReadyState() == "closed" {
		s.sock.Disconnect(false)
	}
}

// flushEarly queues what has waited for the CONNECT packet.
func (s *session) flushEarly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.early {
		s.conn.Send(f, false)
	}
	s.early = nil
	s.opened.Store(true)
}

// deliver queues a frame for the client and reports whether it could.
func (s *session) deliver(f *engine.Frame, volatile bool) bool {
	if s.opened.Load() {
		return s.conn.Send(f, volatile).Status == engine.Queued
	}
	return s.deliverEarly(f, volatile)
}

func (s *session) deliverEarly(f *engine.Frame, volatile bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened.Load() {
		return s.conn.Send(f, volatile).Status == engine.Queued
	}
	if volatile || len(s.early) == maxEarly {
		return false
	}
	s.early = append(s.early, f)
	return true
}

// disconnect ends the session: the client gets what was sent to it before,
// then the reason, then Socket.IO's disconnect.
func (s *session) disconnect(code, reason string) {
	m := disconnectMessage(code, reason)
	s.deliver(newFrame(s.ns.name, &m), false)
	s.sock.Disconnect(false)
}

// receive handles an event of the client. The library calls it for one event
// at a time, in the order in which the client sent them.
func (s *session) receive(event []any) {
	name, _ := event[0].(string)
	payload, _ := event[1].(packet.Payload)
	reply := noReply
	if len(event) > 2 {
		if ack, ok := event[2].(socket.Ack); ok {
			reply = replyThrough(ack)
		}
	}
	s.b.handle(s, name, payload, reply)
}
