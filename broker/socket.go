package broker

import (
	"crypto/rand"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// socket is one client in one namespace.
type socket struct {
	// Static.
	client      *client
	ns          *namespace
	id          string
	user        string
	auth        json.RawMessage // what the client sent, less the token
	connectTime time.Time

	gone      atomic.Bool                     // it has ended, or is just about to
	described atomic.Pointer[eventhub.Socket] // the last that backends were told

	saying sync.Mutex // held while backends are told what the client says
	silent bool       // guarded by saying: they were told that it has gone

	data atomic.Pointer[json.RawMessage] // what backends see with the socket; nil for nothing

	// Guarded by mu, which comes before the index's lock.
	mu      sync.Mutex
	claims  token.Claims
	updated bool                   // data isn't the token's any more
	expiry  *time.Timer            // of the claims; nil if they have no end
	expired bool                   // too late for a fresh token
	acks    map[uint64]*ackRequest // that the client hasn't answered, by ack id; nil if there are none
}

func newSocket(c *client, ns *namespace, claims token.Claims, p *socketio.Packet) *socket {
	s := &socket{
		client:      c,
		ns:          ns,
		id:          c.b.id + rand.Text()[:socketIDSuffix],
		user:        claims.User,
		auth:        otherAuth(p),
		connectTime: time.Now(),
		claims:      claims,
	}
	s.showData(claims.Data)
	return s
}

// socketIDSuffix is how many characters of a socket's id follow those of its
// node: 80 random bits.
const socketIDSuffix = 16

// ID implements [room.Member].
func (s *socket) ID() string { return s.id }

// User implements [room.Member].
func (s *socket) User() string { return s.user }

// enter makes the socket a member of its namespace and of its token's rooms,
// and tells the client, unless its user has as many as it may have.
//
// The CONNECT packet is queued in the very step that makes the socket known.
// So nothing can be sent to the client before it, and a client that has read
// it is found by whoever asks.
//
// Nothing that can end the socket may begin before it is in the index: end
// would find nothing to remove, and the socket would stay there for ever. So
// its timer starts after that. Whatever else ends it has found it in the index,
// or in its client, which [client.attach] keeps locked meanwhile.
func (s *socket) enter() *Error {
	connect := engineio.NewFrame(socketio.AppendConnect(nil, s.ns.name, s.id))
	err := s.ns.index.Add(s, s.grant().Rooms, func() {
		s.tellConnected()
		s.client.conn.Send(connect, false)
	})
	if err != nil { // it is the user's: the number of rooms has been checked
		s.gone.Store(true)
		return tooManyConnections(s.client.b.opts.Limits.ConnectionsPerUser)
	}
	s.startExpiry()
	s.client.b.subscribeSocket(s) // end may have undone this already; only the sum counts
	s.client.b.log.Debug("socket connected", "socket", s.id, "namespace", s.ns.name, "user", s.user)
	return nil
}

// Why a socket ended, beside the reasons for which connections end and the
// codes that clients are told.
const endedByClient = "client namespace disconnect"

// end takes the socket out of everything. It reports whether this was the call
// that did.
func (s *socket) end(why string) bool {
	if s.gone.Swap(true) {
		return false
	}
	s.ns.index.Remove(s)
	s.client.b.unsubscribeSocket(s)
	s.loseAcks()
	s.stopExpiry()
	s.tellDisconnected(why)
	s.client.detach(s)
	s.client.b.log.Debug("socket disconnected", "socket", s.id, "namespace", s.ns.name, "user", s.user, "reason", why)
	return true
}

// deliver queues a frame for the client and reports whether it could.
func (s *socket) deliver(f *engineio.Frame, volatile bool) bool {
	return !s.gone.Load() && s.client.conn.Send(f, volatile) == engineio.Queued
}

// disconnect ends the socket: the client gets what was sent to it before, then
// the reason, then Socket.IO's disconnect. It reports whether this was the call
// that did.
func (s *socket) disconnect(code, reason string) bool {
	if !s.end(code) {
		return false
	}
	m := disconnectMessage(code, reason)
	s.client.conn.Send(newFrame(s.ns.name, nil, &m), false)
	s.client.conn.Send(engineio.NewFrame(socketio.AppendDisconnect(nil, s.ns.name)), false)
	return true
}

// disconnectEvent is what a client gets before the broker disconnects it,
// since Socket.IO's own packet has no room for a reason.
const disconnectEvent = "sala:disconnect"

// reasonDisconnected is the code when a backend disconnects a socket.
const reasonDisconnected = "DISCONNECTED"

func disconnectMessage(code, reason string) Message {
	args, _ := json.Marshal([]any{map[string]string{"code": code, "reason": reason}}) // strings always encode
	return Message{Event: disconnectEvent, Args: args}
}

// grant returns what the client may do.
func (s *socket) grant() token.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims.Grant
}

func (s *socket) update(data json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updated = true
	s.showData(data)
}

// showData has backends see data with the socket.
func (s *socket) showData(data json.RawMessage) {
	if len(data) == 0 {
		s.data.Store(nil)
		return
	}
	s.data.Store(&data)
}

// shownData returns what backends see with the socket.
func (s *socket) shownData() json.RawMessage {
	if data := s.data.Load(); data != nil {
		return *data
	}
	return nil
}

// maxDataBytes bounds what backends can attach to a token or a socket.
const maxDataBytes = 4 << 10

// validateData accepts no data too.
func validateData(v *violations, field string, data json.RawMessage) {
	if len(data) > maxDataBytes {
		v.add(field, "has %d bytes, at most %d are allowed", len(data), maxDataBytes)
	} else if len(data) > 0 && !json.Valid(data) {
		v.add(field, "is not valid JSON")
	}
}

// expectAck makes the socket wait for the client's ack. It reports false if the
// socket has ended.
func (s *socket) expectAck(r *ackRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return false
	}
	if s.acks == nil {
		s.acks = make(map[uint64]*ackRequest)
	}
	s.acks[r.id] = r
	return true
}

// takeAck stops waiting for an ack; it returns nil if the socket doesn't wait for
// one. s.mu is held.
func (s *socket) takeAck(id uint64) *ackRequest {
	r := s.acks[id]
	delete(s.acks, id)
	if len(s.acks) == 0 {
		s.acks = nil
	}
	return r
}

// forgetAck stops waiting for an ack, if the socket still waits for it. Then the
// request counts the socket, unless why is nil.
func (s *socket) forgetAck(r *ackRequest, why ackOutcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.takeAck(r.id) != nil && why != nil {
		r.settle(why)
	}
}

// receiveAck passes the client's ack on to its request. It reports false if there
// is none: the ack is late, or the client made it up.
func (s *socket) receiveAck(p *socketio.Packet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.takeAck(p.ID)
	if r == nil {
		return false
	}
	r.receive(s, p.Payload)
	return true
}

// loseAcks tells all requests that the client has gone.
func (s *socket) loseAcks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.acks {
		r.settle(disconnected)
	}
	s.acks = nil
}

// accepted is what a client gets for an event that the broker has done.
type accepted struct {
	OK bool `json:"ok"`
}

// answerEvent answers an event of a client, if it asked for an ack: with ok, or with
// {error: {code, message}}.
func (s *socket) answerEvent(p *socketio.Packet, ok any, err *Error) {
	switch {
	case !p.HasID:
	case err != nil:
		s.reply(p.ID, map[string]errorBody{"error": {Code: err.Reason, Message: err.Message}})
	default:
		s.reply(p.ID, ok)
	}
}

// reply answers the event with the ack id. The answer is strings and the like,
// which always encode.
func (s *socket) reply(id uint64, answer any) {
	args, _ := json.Marshal([]any{answer})
	s.deliver(engineio.NewFrame(socketio.AppendAck(nil, s.ns.name, id, socketio.Payload{Args: args})), false)
}

// replyFrom answers the event with the ack id with what a backend said.
func (s *socket) replyFrom(id uint64, r eventhub.Reply) {
	if r.Error != nil {
		s.reply(id, map[string]errorBody{"error": {Code: r.Error.Code, Message: r.Error.Message}})
		return
	}
	p := socketio.Payload{Args: r.Args, Attachments: r.Attachments}
	s.deliver(engineio.NewFrame(socketio.AppendAck(nil, s.ns.name, id, p), r.Attachments...), false)
}

// errorBody is what a refused client finds in err.data, or in an ack's error.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
