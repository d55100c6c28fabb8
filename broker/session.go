package broker

import (
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/salabroker/sala/broker/packet"
	"github.com/salabroker/sala/broker/token"
)

// session is a socket: one client in one namespace.
type session struct {
	// Static.
	b           *Broker
	ns          *namespace
	sock        *socket.Socket
	id          string
	claims      token.Claims
	connectTime time.Time
	// Set when the session enters, before anyone else can see it.
	expiry *time.Timer

	mu sync.Mutex
	// opened says that the client has its CONNECT packet. Until then events
	// wait in early, so that it hears nothing before its own connect.
	opened bool
	early  []*frame
}

// maxEarly bounds what may wait for the CONNECT packet, which is written right
// behind the moment from which a session can be found.
const maxEarly = 1000

func newSession(b *Broker, ns *namespace, sock *socket.Socket, claims token.Claims) *session {
	s := &session{
		b:           b,
		ns:          ns,
		sock:        sock,
		id:          string(sock.Id()),
		claims:      claims,
		connectTime: time.Now(),
	}
	// A middleware rather than a listener: it sees every event, and the
	// library does nothing more with one that isn't passed on.
	sock.Use(func(event []any, _ func(error)) { s.receive(event) })
	return s
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
	b.connections.attach(s.sock.Conn())
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
	b.connections.detach(s.sock.Conn())
	b.log.Debug("socket disconnected", "socket", s.id, "namespace", s.ns.name, "user", s.claims.User)
}

// open lets events through: the CONNECT packet is on its way.
func (s *session) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.early {
		s.write(f, false)
	}
	s.opened, s.early = true, nil
}

// deliver queues a frame for the client and reports whether it could.
func (s *session) deliver(f *frame, volatile bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return s.write(f, volatile)
	}
	if volatile || len(s.early) == maxEarly {
		return false
	}
	s.early = append(s.early, f)
	return true
}

// write hands a frame to the connection.
func (s *session) write(f *frame, volatile bool) bool {
	conn := s.sock.Conn()
	if conn.ReadyState() != "open" || volatile && !conn.Transport().Writable() {
		return false
	}
	s.sock.Client().WriteToEngine(f.buffers(), &socket.WriteOptions{})
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
