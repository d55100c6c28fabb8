package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/socketio"
	"github.com/salabroker/sala/broker/token"
)

// A client connects to a namespace in four steps: connect checks everything except
// the token, authenticate checks the token, decide asks the backends that decide, if
// there are any, and admit makes the socket a member. One that returns to a socket may
// have to prove in between that it uses its connection, and its socket may have to come
// from another node; see recovery.go.

// DecisionOptions says how backends decide who may connect; see
// [SubscribeOptions.Decide]. They are asked once the token has been verified.
type DecisionOptions struct {
	// Timeout is how long they may take; 5 s by default.
	Timeout time.Duration
	// Default is what happens without an answer; RefuseUndecided by default.
	Default Undecided
	// Required refuses clients while there is no backend that decides. Otherwise
	// the token alone lets them in then.
	Required bool
}

// Undecided says what happens to a client if the backend that was asked about it
// doesn't answer in time.
type Undecided string

// The values of Undecided.
const (
	RefuseUndecided Undecided = "refuse"
	AcceptUndecided Undecided = "accept"
)

// reasonRefusedByBackend is how the metrics count clients that a backend refused,
// whatever code it gave them.
const reasonRefusedByBackend = "REFUSED_BY_BACKEND"

// connect connects the client to a namespace, or refuses it: then the client gets
// connect_error with data {code, message}. A node that drains closes the connection
// instead. s is the socket that the client has there already; nil if it has none.
func (c *client) connect(s *socket, p *socketio.Packet) {
	if s != nil || c.awaits(p.Namespace) {
		c.cut(errors.New("a second CONNECT for the same namespace"))
		return
	}
	if c.b.draining.Load() {
		c.turnAway(p.Namespace)
		return
	}
	if c.refuseToAdmin(p) {
		return
	}
	ns, ok := c.b.namespaces[p.Namespace]
	if !ok {
		c.refuse(p.Namespace, "", ReasonNamespaceNotFound, &Error{Code: CodeNotFound, Reason: ReasonNamespaceNotFound, Message: "Invalid namespace"})
		return
	}
	if c.full() {
		err := &Error{
			Code: CodeResourceExhausted, Reason: ReasonTooManyNamespaces,
			Message: fmt.Sprintf("a connection may be in at most %d namespaces; leave one first", c.b.opts.Limits.Namespaces),
		}
		c.b.metrics.exceeded(limitNamespaces)
		c.b.noteLimit(limitNamespaces, ns.name, "", c.conn.RemoteAddress(), err)
		c.refuse(ns.name, "", ReasonTooManyNamespaces, err)
		return
	}
	claims, err := c.b.authenticate(ns, c.token, p)
	if err != nil {
		c.refuse(ns.name, claims.User, err.Reason, err)
		return
	}
	candidate := newSocket(c, ns, claims, p)
	if request, ok := c.b.readRecovery(ns, p); ok {
		candidate.auth = otherAuth(p, "pid", "offset")
		candidate.session = newSession(c.b.recovery, candidate)
		if err := c.b.seek(candidate, request); err != nil {
			c.refuse(ns.name, claims.User, err.Reason, err)
			return
		}
	}
	c.decide(candidate)
}

// authenticate decides by its token whether a client may connect to a namespace.
// fallback is the token that came with the connection, for clients that don't send
// one as auth. With an error, the claims have the user of a token that is genuine.
func (b *Broker) authenticate(ns *namespace, fallback string, p *socketio.Packet) (token.Claims, *Error) {
	if p.AuthTooLarge {
		return token.Claims{}, &Error{
			Code:    CodeUnauthenticated,
			Reason:  token.ReasonTooLarge,
			Message: fmt.Sprintf("the auth of the client is too large; a token has at most %d bytes", b.opts.Tokens.MaxBytes()),
		}
	}
	raw := p.Token
	if raw == "" {
		raw = fallback
	}
	var claims token.Claims
	var err *Error
	if raw == "" && b.opts.Anonymous != nil {
		claims.Grant = b.opts.Anonymous.grant()
		err = b.checkGrant(claims.Grant)
	} else {
		claims, err = b.verify(raw)
	}
	if err != nil {
		return token.Claims{User: claims.User}, err
	}
	return claims, checkNamespace(claims.Grant, ns.name)
}

// decide asks the backends that decide, if there are any, and then admits or refuses
// the socket. It doesn't wait for their answer, nor for other nodes or the client.
func (c *client) decide(s *socket) {
	if s.returns() {
		c.decideReturn(s)
		return
	}
	if !c.b.events.Decides(s.ns.name) {
		c.settle(s, c.undecided(eventhub.ErrNobodyDecides))
		return
	}
	if connected := c.startDeciding(s); !connected {
		return
	}
	question := s.connectEvent()
	c.b.deciding.Go(func() {
		refusal := c.ask(s, question, c.conn.Done())
		admitted := c.stopDeciding(s) && c.settle(s, refusal)
		if !admitted {
			c.b.events.Forget(s.id)
		}
	})
}

// connectEvent asks backends about a candidate.
func (s *socket) connectEvent() *eventhub.Event {
	return &eventhub.Event{Kind: eventhub.Connect, Namespace: s.ns.name, Socket: s.question(), Time: s.connectTime}
}

// refusal is why a client can't connect. The zero value means that it can.
type refusal struct {
	err     *Error
	counted string // the reason in the metrics
}

// ask asks the backends that decide, until done is closed.
func (c *client) ask(s *socket, question *eventhub.Event, done <-chan struct{}) refusal {
	span := c.b.startEvent(question)
	decision, err := c.b.events.Decide(question, done)
	endDecided(span, decision.Refusal, err)
	switch {
	case err != nil:
		return c.undecided(err)
	case decision.Refusal != nil:
		code, message := decision.Refusal.Code, decision.Refusal.Message
		return refusal{&Error{Code: CodePermissionDenied, Reason: code, Message: message}, reasonRefusedByBackend}
	}
	if refused := s.accept(decision.Rooms, decision.Data); refused != nil {
		return refusal{refused, refused.Reason}
	}
	return refusal{}
}

// undecided returns what follows if there is no decision, for this reason.
func (c *client) undecided(err error) refusal {
	accept := c.b.opts.Decisions.Default == AcceptUndecided
	if errors.Is(err, eventhub.ErrNobodyDecides) {
		accept = !c.b.opts.Decisions.Required
	}
	if accept {
		return refusal{}
	}
	return refusal{&Error{
		Code: CodeUnavailable, Reason: ReasonUndecided, Message: "no backend has decided about this connection; try again in a moment",
	}, ReasonUndecided}
}

// settle admits or refuses the socket, and reports whether it was admitted.
func (c *client) settle(s *socket, r refusal) bool {
	if r.err != nil {
		if r.counted == reasonRefusedByBackend && s.returns() {
			s.refuseReturn(r.err.Reason, r.err.Message)
		}
		c.refuse(s.ns.name, s.user, r.counted, r.err)
		return false
	}
	return c.admit(s)
}

// accept adds the rooms and data of a decision. Nobody else knows the socket yet.
func (s *socket) accept(rooms []string, data json.RawMessage) *Error {
	grant := *s.claims.grant
	for _, room := range rooms {
		if !slices.Contains(grant.Rooms, room) {
			// A new slice: the token's may be shared.
			grant.Rooms = append(slices.Clip(grant.Rooms), room)
		}
	}
	if limit := s.b.opts.MaxRoomsPerSocket; len(grant.Rooms) > limit {
		return tooManyRooms(limit)
	}
	s.claims.grant = s.b.grants.share(grant)
	if len(data) > 0 {
		s.update(data)
	}
	return nil
}

// admit makes the socket a member of its namespace. It returns false if the
// connection has ended, or if the user has too many sockets; then it refuses the
// client.
//
// In a cluster this node receives what others send to the socket before the socket
// is a member: the first socket of a user or a room waits until Redis has confirmed
// the subscription.
func (c *client) admit(s *socket) bool {
	if s.returns() {
		if done := c.resume(s); done {
			return true
		}
	}
	release, _ := c.b.subscribeTopics(subscribeTimeout, append(s.topics(), roomTopics(s.ns.name, s.claims.grant.Rooms)...)...)
	defer release()
	attached, refused := c.attach(s, s.enter)
	for refused != nil && c.b.evictAway(s.ns, s.user) {
		attached, refused = c.attach(s, s.enter)
	}
	if refused != nil {
		s.gone.Store(true)
		c.b.metrics.exceeded(limitConnectionsPerUser)
		c.b.noteLimit(limitConnectionsPerUser, s.ns.name, s.user, c.conn.RemoteAddress(), refused)
		c.refuse(s.ns.name, s.user, refused.Reason, refused)
	}
	if !attached {
		return false
	}
	c.tellNotRecovered(s)
	// A revocation or a drain since the token was verified may not have found the
	// socket.
	s.checkRevoked()
	if c.b.draining.Load() {
		c.sendAway()
	}
	return true
}

// refuse tells the client why it can't connect to a namespace, and closes the
// connection of one that doesn't stop trying. counted is the reason in the
// metrics, user the user of a token that is genuine.
func (c *client) refuse(namespace, user, counted string, err *Error) {
	frame := engineio.NewFrame(socketio.AppendConnectError(nil, namespace, connectError(err)))
	c.refuseWith(frame, namespace, user, counted, err)
}

func (c *client) refuseWith(frame *engineio.Frame, namespace, user, counted string, err *Error) {
	c.noteRefused(namespace, user, counted, err)
	c.conn.Send(frame, false)
	c.mu.Lock()
	tooMany := c.refusals >= maxRefusals
	if !tooMany {
		c.refusals++
	}
	c.mu.Unlock()
	if tooMany {
		c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
	}
}

// turnAway closes the connection of a client that connects to a namespace while the node
// drains. A stock client connects again after that, but gives up after a connect_error.
func (c *client) turnAway(namespace string) {
	c.noteRefused(namespace, "", ReasonDraining, &Error{
		Code: CodeUnavailable, Reason: ReasonDraining, Message: drainingMessage,
	})
	c.sendAway()
}

// noteRefused counts and logs that the client can't connect to a namespace.
func (c *client) noteRefused(namespace, user, counted string, err *Error) {
	c.b.metrics.refused(counted)
	known := namespace
	if _, ok := c.b.namespaces[namespace]; !ok {
		known = "" // the client may have sent anything as the namespace, even its token
	}
	c.b.log.Info("client refused", "namespace", known, "reason", err.Reason, "address", c.conn.RemoteAddress())
	c.b.noteRefused(known, user, c.conn.RemoteAddress(), err.Reason, err.Message)
}

// connectError returns the payload of a CONNECT_ERROR packet. Stock clients make
// message the error's message, and data its data.
func connectError(err *Error) json.RawMessage {
	object, _ := json.Marshal(struct { // strings always encode
		Message string    `json:"message"`
		Data    errorBody `json:"data"`
	}{err.Message, errorBody{Code: err.Reason, Message: err.Message}})
	return object
}
