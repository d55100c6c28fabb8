package broker

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// socket is one client in one namespace.
type socket struct {
	// What each message for the socket needs stands first, so that it takes one cache line.
	client  atomic.Pointer[client] // its connection; nil while it is away
	session *session               // static; nil unless the client takes part in recovery
	gone    atomic.Bool            // it has ended, or is about to
	moving  atomic.Bool            // it changes its node, so that what happens to its rooms isn't published

	// Static.
	b           *Broker
	ns          *namespace
	id          string
	user        string
	auth        json.RawMessage // what the client sent as auth, without the token
	connectTime time.Time

	described atomic.Pointer[eventhub.Socket] // how backends saw it last
	data      atomic.Pointer[json.RawMessage] // what backends have attached; nil for nothing
	catchUp   atomic.Pointer[catchUp]         // of joins that read the history of a room; nil if there was none lately

	publishing sync.Mutex // held while events of the client are published
	mu         sync.Mutex // comes before the index's lock

	cut          atomic.Bool // it ends because it has lost its connection, so that its user may return in time
	endPublished bool        // guarded by publishing: no event follows, after its DISCONNECT or at this node

	expiry expiry // of the claims; guarded by expiries.mu

	// Guarded by mu.
	updated bool // data is no longer the token's
	expired bool // too late for a new token
	claims  socketClaims
	acks    map[uint64]*ackRequest // requests that the client hasn't answered, by ack id; nil if there are none
}

func newSocket(c *client, ns *namespace, claims token.Claims, p *socketio.Packet) *socket {
	s := &socket{
		b:           c.b,
		ns:          ns,
		id:          c.b.id + rand.Text()[:socketIDSuffix],
		user:        claims.User,
		auth:        otherAuth(p),
		connectTime: time.Now(),
		claims:      c.b.keepClaims(claims),
	}
	s.client.Store(c)
	s.showData(claims.Data)
	return s
}

// socketIDSuffix is how many characters of a socket's id follow those of its node.
// They are 80 random bits.
const socketIDSuffix = 16

// ID implements [room.Member].
func (s *socket) ID() string { return s.id }

// User implements [room.Member].
func (s *socket) User() string { return s.user }

// enter makes the socket a member of its namespace and of its token's rooms, and
// tells the client, unless the user has too many sockets.
//
// The CONNECT packet is queued in the same step in which the socket enters the
// index. So nothing can be sent to the client before it, and a client that has
// received it can be found.
//
// Nothing that can end the socket may start before the socket is in the index: end
// would find nothing to remove, and the socket would stay there for ever. So its
// timer starts afterwards. Anything else that ends it has found it in the index, or
// in its client, which [client.attach] keeps locked meanwhile.
func (s *socket) enter() *Error {
	connect, c := s.connectFrame(), s.client.Load()
	err := s.ns.index.Add(s, s.grant().Rooms, func() {
		s.publishConnected()
		if s.session != nil {
			s.openSession()
		}
		position, _, _ := c.conn.SendNumbered(connect, false)
		if s.session != nil {
			s.session.connect = position
			c.conn.Ping() // its answer proves that the client knows of its session
		}
	})
	if err != nil { // the user has too many; the number of rooms has been checked
		return tooManyConnections(s.b.opts.Limits.ConnectionsPerUser)
	}
	s.startExpiry()
	s.b.subscribeSocket(s) // end may have undone this already; only the sum counts
	s.b.log.Debug("socket connected", "socket", s.id, "namespace", s.ns.name, "user", s.user)
	return nil
}

// endedByClient is why a socket ended that its client has disconnected. The other
// reasons are those of connections, and the codes that clients get.
const endedByClient = "client namespace disconnect"

// end removes the socket from everything.
func (s *socket) end(why string) { s.endAs(why, tombstone{}) }

// endAs is end. The tombstone says what the client learns if it is away and returns. It
// reports whether this call ended the socket, and not another one.
func (s *socket) endAs(why string, left tombstone) bool {
	if s.session != nil && s.postpone(why, left) {
		return true
	}
	mine := s.markGone(left)
	if !mine {
		return false
	}
	s.cut.Store(isCut(why, left))
	s.ns.index.Remove(s)
	s.b.unsubscribeSocket(s)
	s.loseAcks()
	s.stopExpiry()
	s.publishDisconnected(why)
	if c := s.client.Load(); c != nil {
		c.detach(s)
	}
	if string(cluster.OwnerOf(s.id)) != s.b.id {
		s.tellEnded()
	}
	s.b.log.Debug("socket disconnected", "socket", s.id, "namespace", s.ns.name, "user", s.user, "reason", why)
	return true
}

// markGone marks the socket as ended, and keeps its client from returning. That is one step
// under the session's lock: a client that returned in between would get a new socket, and
// not learn how its own has ended. It reports whether this call is the first.
func (s *socket) markGone(left tombstone) bool {
	if x := s.session; x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
	}
	gone := s.gone.Swap(true)
	if !gone && s.session != nil {
		s.closeSession(left)
	}
	return !gone
}

// deliver queues a frame for the client, and reports whether that succeeded. It is
// for what isn't sent again: see keep for messages.
func (s *socket) deliver(f *engineio.Frame) bool {
	c := s.client.Load()
	if c == nil || s.gone.Load() {
		return false
	}
	reason := c.conn.Send(f, false)
	if reason != engineio.Queued {
		s.noteDropped(reason, 1)
	}
	return reason == engineio.Queued
}

// send sends a message to the client.
func (s *socket) send(o *outgoing) delivery {
	if s.session != nil {
		return s.keep(o)
	}
	if o.m.record != nil {
		if d, settled := s.takeLive(o, waitingMessage{frame: o.plainFrame()}); settled {
			return d
		}
	}
	c := s.client.Load()
	if c == nil || s.gone.Load() {
		return notDelivered
	}
	reason := o.batch.Send(c.conn, o.toQueue(o.plainFrame()), o.m.Volatile)
	if reason != engineio.Queued {
		s.noteDropped(reason, 1)
		return notDelivered
	}
	return queued
}

// disconnect ends the socket. The client gets everything that was sent to it
// before, then the reason, then Socket.IO's disconnect. If it is away, it is refused
// once with the reason.
func (s *socket) disconnect(code, reason string) {
	s.disconnectAs(code, reason, tombstone{
		notRecovered: notRecoveredUnknown,
		refusal:      disconnectedAway(code, reason),
	})
}

// disconnectAs is disconnect. The tombstone says what the client learns if it is away and
// returns. It reports whether this call ended the socket.
func (s *socket) disconnectAs(code, reason string, left tombstone) bool {
	s.abortJoin()
	ended := s.endAs(code, left)
	if c := s.client.Load(); ended && c != nil {
		m := disconnectMessage(code, reason)
		c.conn.Send(newFrame(s.ns.name, nil, &m), false)
		c.conn.Send(engineio.NewFrame(socketio.AppendDisconnect(nil, s.ns.name)), false)
	}
	return ended
}

// disconnectedAway is how a client is refused that returns after it was disconnected.
func disconnectedAway(code, reason string) *Error {
	reason = cmp.Or(reason, "the socket was disconnected while its client was away")
	return &Error{Code: CodePermissionDenied, Reason: code, Message: reason}
}

// disconnectEvent is the event that a client gets before the broker disconnects it,
// because Socket.IO's own packet has no reason.
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
	return *s.claims.grant
}

// update replaces what the token or a backend has attached to the socket.
func (s *socket) update(data json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updated = true
	s.showData(data)
}

// showData sets the data that backends see with the socket.
func (s *socket) showData(data json.RawMessage) {
	if len(data) == 0 {
		s.data.Store(nil)
		return
	}
	s.data.Store(&data)
}

// shownData returns the data that backends see with the socket.
func (s *socket) shownData() json.RawMessage {
	if data := s.data.Load(); data != nil {
		return *data
	}
	return nil
}

// maxDataBytes bounds the data that backends attach to a token or a socket.
const maxDataBytes = 4 << 10

// validateData adds to v what is wrong with data. No data is valid.
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
	taken := s.takeAck(r.id)
	if taken != nil && why != nil {
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

// accepted is the answer to an event that the broker has carried out.
type accepted struct {
	OK bool `json:"ok"`
}

// answerEvent answers an event of a client that asked for an ack: with answer, or
// with {error: {code, message}}.
func (s *socket) answerEvent(p *socketio.Packet, answer any, err *Error) {
	switch {
	case !p.HasID:
	case err != nil:
		s.reply(p.ID, map[string]errorBody{"error": {Code: err.Reason, Message: err.Message}})
	default:
		s.reply(p.ID, answer)
	}
}

// reply sends an ack. The answer consists of values that always encode.
func (s *socket) reply(id uint64, answer any) {
	args, _ := json.Marshal([]any{answer})
	s.deliver(engineio.NewFrame(socketio.AppendAck(nil, s.ns.name, id, socketio.Payload{Args: args})))
}

// replyFrom sends the answer of a backend as an ack.
func (s *socket) replyFrom(id uint64, r eventhub.Reply) {
	if r.Error != nil {
		s.reply(id, map[string]errorBody{"error": {Code: r.Error.Code, Message: r.Error.Message}})
		return
	}
	var room [256]byte // on the stack; enough for most acks
	p := socketio.Payload{Args: r.Args, Attachments: r.Attachments}
	s.deliver(engineio.NewFrame(socketio.AppendAck(room[:0], s.ns.name, id, p), r.Attachments...))
}

// errorBody is what a refused client gets as err.data, or as the error in an ack.
type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
