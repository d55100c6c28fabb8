package broker

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
)

// reasonRefusedByBackend is how the metrics count clients that a backend
// refused, whatever code it gave them.
const reasonRefusedByBackend = "REFUSED_BY_BACKEND"

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

// startDeciding notes that backends are being asked about a socket. It reports
// false if the connection has ended.
func (c *client) startDeciding(s *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.deciding = append(c.deciding, s)
	}
	return !c.ended
}

// stopDeciding reports whether the client still wants the socket in.
func (c *client) stopDeciding(s *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.deciding, s)
	if i < 0 {
		return false
	}
	c.deciding = slices.Delete(c.deciding, i, i+1)
	return true
}

// withdraw forgets that the client wants to connect to a namespace, and reports
// whether it did.
func (c *client) withdraw(namespace string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.deciding)
	c.deciding = slices.DeleteFunc(c.deciding, func(s *socket) bool { return s.ns.name == namespace })
	return len(c.deciding) < before
}

// awaits reports whether backends are being asked about the client in a
// namespace.
func (c *client) awaits(namespace string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.deciding, func(s *socket) bool { return s.ns.name == namespace })
}

// Undecided says what becomes of a client about whom a backend was asked that
// didn't answer in time.
type Undecided string

// What may become of them.
const (
	RefuseUndecided Undecided = "refuse"
	AcceptUndecided Undecided = "accept"
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
