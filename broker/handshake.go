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

// DecisionOptions says how backends decide who may connect; see
// [SubscribeOptions.Decide]. It is asked after the token is found good.
type DecisionOptions struct {
	// Timeout is how long they may take; 5 s by default.
	Timeout time.Duration
	// Default is what happens without an answer; RefuseUndecided by default.
	Default Undecided
	// Required refuses clients while no backend is there that decides. Without
	// it, they are let in by their token alone then.
	Required bool
}

// Undecided says what becomes of a client about whom a backend was asked that
// didn't answer in time.
type Undecided string

// What may become of them.
const (
	RefuseUndecided Undecided = "refuse"
	AcceptUndecided Undecided = "accept"
)

// connect lets the client into a namespace or tells it why not: it gets
// connect_error with data {code, message}.
func (c *client) connect(p *socketio.Packet) {
	ns, ok := c.b.namespaces[p.Namespace]
	if !ok {
		c.refuse(p.Namespace, ReasonNamespaceNotFound, &Error{Code: CodeNotFound, Reason: ReasonNamespaceNotFound, Message: "Invalid namespace"})
		return
	}
	if c.full() {
		c.b.metrics.exceeded(limitNamespaces)
		c.refuse(ns.name, ReasonTooManyNamespaces, &Error{
			Code: CodeResourceExhausted, Reason: ReasonTooManyNamespaces,
			Message: fmt.Sprintf("a connection may be in %d namespaces; leave one first", c.b.opts.Limits.Namespaces),
		})
		return
	}
	claims, err := c.b.authenticate(ns, c.token, p)
	if err != nil {
		c.refuse(ns.name, err.Reason, err)
		return
	}
	c.decide(newSocket(c, ns, claims, p))
}

// authenticate decides whether a client may connect to a namespace. fallback
// is the token that came with the connection, for clients that send none as
// auth.
func (b *Broker) authenticate(ns *namespace, fallback string, p *socketio.Packet) (token.Claims, *Error) {
	if b.draining.Load() {
		return token.Claims{}, &Error{
			Code: CodeUnavailable, Reason: ReasonDraining, Message: "the broker is shutting down; reconnect in a moment",
		}
	}
	if p.AuthTooLarge {
		return token.Claims{}, &Error{
			Code:    CodeUnauthenticated,
			Reason:  token.ReasonTooLarge,
			Message: fmt.Sprintf("what the client sent as auth is too large; a token has at most %d bytes", b.opts.Tokens.MaxBytes()),
		}
	}
	raw := p.Token
	if raw == "" {
		raw = fallback
	}
	claims, err := b.claimsOf(raw)
	if err != nil {
		return token.Claims{}, err
	}
	return claims, checkNamespace(claims.Grant, ns.name)
}

// claimsOf returns what the token grants or, if there is none, what clients
// without one may do.
func (b *Broker) claimsOf(raw string) (token.Claims, *Error) {
	if raw == "" && b.opts.Anonymous != nil {
		claims := token.Claims{Grant: b.opts.Anonymous.grant()}
		return claims, b.checkGrant(claims.Grant)
	}
	return b.verify(raw)
}

// decide lets the backends that decide about connections have their say, if
// there are any, and then lets the socket in or refuses it. It doesn't wait for
// them.
func (c *client) decide(s *socket) {
	if !c.b.events.Decides(s.ns.name) {
		c.settle(s, eventhub.Decision{}, eventhub.ErrNobodyDecides)
		return
	}
	if !c.startDeciding(s) {
		return
	}
	question := &eventhub.Event{Kind: eventhub.Connect, Namespace: s.ns.name, Socket: s.describe(), Time: s.connectTime}
	c.b.deciding.Go(func() {
		decision, err := c.b.events.Decide(question, c.conn.Done())
		if !c.stopDeciding(s) || !c.settle(s, decision, err) {
			c.b.events.Forget(s.id)
		}
	})
}

// settle acts on what was decided, or on that nothing was, and reports whether
// the socket was let in.
func (c *client) settle(s *socket, decision eventhub.Decision, err error) bool {
	accept := c.b.opts.Decisions.Default == AcceptUndecided
	if errors.Is(err, eventhub.ErrNobodyDecides) {
		accept = !c.b.opts.Decisions.Required
	}
	switch {
	case err == nil && decision.Refusal != nil:
		c.refuse(s.ns.name, reasonRefusedByBackend, &Error{
			Code: CodePermissionDenied, Reason: decision.Refusal.Code, Message: decision.Refusal.Message,
		})
		return false
	case err == nil:
		if refused := s.accept(decision.Rooms, decision.Data); refused != nil {
			c.refuse(s.ns.name, refused.Reason, refused)
			return false
		}
	case !accept:
		c.refuse(s.ns.name, ReasonUndecided, &Error{
			Code: CodeUnavailable, Reason: ReasonUndecided, Message: "no backend has decided about this connection; try again in a moment",
		})
		return false
	}
	return c.admit(s)
}

// accept adds what a backend has given the socket. Nobody else knows it yet.
func (s *socket) accept(rooms []string, data json.RawMessage) *Error {
	for _, room := range rooms {
		if !slices.Contains(s.claims.Rooms, room) {
			// A new slice: the token's may be shared.
			s.claims.Rooms = append(slices.Clip(s.claims.Rooms), room)
		}
	}
	if limit := s.client.b.opts.MaxRoomsPerSocket; len(s.claims.Rooms) > limit {
		return tooManyRooms(limit)
	}
	if len(data) > 0 {
		s.update(data)
	}
	return nil
}

// admit lets a socket in. It reports false if the connection has ended, or if the
// user has too many sockets, which the client hears.
//
// In a cluster, before the socket is in, this node hears what others send to it:
// the first of a user or a room waits for that, as long as it takes to tell Redis.
func (c *client) admit(s *socket) bool {
	release := c.b.subscribeTopics(subscribeTimeout, append(s.topics(), roomTopics(s.ns.name, s.claims.Rooms)...)...)
	defer release()
	attached, refused := c.attach(s, s.enter)
	if refused != nil {
		c.b.metrics.exceeded(limitConnectionsPerUser)
		c.refuse(s.ns.name, refused.Reason, refused)
	}
	if !attached {
		return false
	}
	// What has changed since the token was checked may not have found the socket.
	s.checkRevoked()
	if c.b.draining.Load() {
		c.sendAway()
	}
	return true
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

// connectError is what a CONNECT_ERROR packet carries. Stock clients make
// message the error's, and data its data.
func connectError(err *Error) json.RawMessage {
	object, _ := json.Marshal(struct { // strings always encode
		Message string    `json:"message"`
		Data    errorBody `json:"data"`
	}{err.Message, errorBody{Code: err.Reason, Message: err.Message}})
	return object
}

// reasonRefusedByBackend is how the metrics count clients that a backend
// refused, whatever code it gave them.
const reasonRefusedByBackend = "REFUSED_BY_BACKEND"
