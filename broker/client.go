package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/socketio"
)

const (
	// linger is how long a connection may stay open after its last socket. Stock
	// clients close theirs at once; this is for those that don't.
	linger = 2 * time.Second
	// maxRefusals is how often a connection may be refused before it is closed.
	// Each refusal costs the check of a token and a line in the log.
	maxRefusals = 10
)

// client is one connection and the sockets that it carries, at most one in
// each namespace.
type client struct {
	// Static.
	b     *Broker
	conn  *engineio.Conn
	token string // from the URL or the Authorization header

	// Owned by the goroutine that reads the connection.
	decoder socketio.Decoder
	usage   usage
	held    *ratelimit.Hold // the bytes of a packet whose attachments haven't arrived; nil if there are none

	// Guarded by mu, which comes before the sockets' locks.
	mu       sync.Mutex
	waiting  *time.Timer // runs while attachments are missing
	sockets  []*socket
	deciding []*socket   // candidates about which backends decide, or whose sockets are looked for
	closing  *time.Timer // runs while there is no socket
	refusals uint8       // counted up to maxRefusals
	ended    bool
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

// attach calls enter and adds the socket, unless the connection has ended: then it
// returns false. The error is enter's. Both happen in one step, so that the end of
// the connection either prevents it or finds the socket.
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

// detach removes a socket. A connection that has none left is closed soon.
func (c *client) detach(s *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets = slices.DeleteFunc(c.sockets, func(other *socket) bool { return other == s })
	c.lingerIfEmpty()
}

// closeUnlessUsed closes the connection soon, unless it has a socket.
func (c *client) closeUnlessUsed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingerIfEmpty()
}

// lingerIfEmpty has a connection without sockets closed soon. c.mu is held.
func (c *client) lingerIfEmpty() {
	if len(c.sockets) == 0 && !c.ended && c.closing == nil {
		c.closing = time.AfterFunc(linger, c.closeIfEmpty)
	}
}

// all returns the client's sockets.
func (c *client) all() []*socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sockets)
}

// full reports whether the client is in as many namespaces as it may be.
func (c *client) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.b.opts.Limits.Namespaces
	return limit > 0 && int64(len(c.sockets)+len(c.deciding)) >= limit
}

// closeIfEmpty closes a connection that has had no socket for too long.
func (c *client) closeIfEmpty() {
	c.mu.Lock()
	empty := c.closing != nil
	c.mu.Unlock()
	if empty {
		c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
	}
}

// cut closes the connection of a client that violates the protocol.
func (c *client) cut(err error) {
	reason := engineio.ReasonParseError
	if errors.Is(err, socketio.ErrTooLarge) {
		reason = engineio.ReasonMessageTooLarge
	}
	c.b.log.Info("client cut", "address", c.conn.RemoteAddress(), "reason", string(reason), "error", err)
	c.conn.CloseAfterFlush(reason)
}

// startDeciding notes that it is being decided about a socket. It returns false if the
// connection has ended.
func (c *client) startDeciding(s *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.deciding = append(c.deciding, s)
	}
	return !c.ended
}

// stopDeciding reports whether the client still wants the socket.
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

// withdraw ends the wait for a socket that backends decide about, and reports
// whether there was one.
func (c *client) withdraw(namespace string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.deciding)
	c.deciding = slices.DeleteFunc(c.deciding, func(s *socket) bool {
		withdrawn := s.ns.name == namespace
		if withdrawn {
			s.stopReturn()
		}
		return withdrawn
	})
	return len(c.deciding) < before
}

// stopReturns ends what the candidates of the connection that return wait for. c.mu is held.
func (c *client) stopReturns() {
	for _, s := range c.deciding {
		s.stopReturn()
	}
}

// stopReturn ends what a candidate waits for, if it returns to a socket. client.mu is held.
func (s *socket) stopReturn() {
	if s.session != nil && s.session.back != nil && s.session.back.cancel != nil {
		s.session.back.cancel()
	}
}

// awaits reports whether backends decide about a socket in the namespace.
func (c *client) awaits(namespace string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.deciding, func(s *socket) bool { return s.ns.name == namespace })
}

// drainingMessage tells a client why it can't stay.
const drainingMessage = "the node is shutting down; reconnect in a moment"

// sendAway tells the client's sockets to reconnect, because this node drains, and closes
// the connection after that.
func (c *client) sendAway() { c.dismiss(engineio.ReasonShutdown, drainingMessage) }

// dismiss tells the client's sockets with the code DRAINING to reconnect, and closes the
// connection after that.
func (c *client) dismiss(reason engineio.Reason, message string) {
	goodbye := disconnectMessage(ReasonDraining, message)
	for _, s := range c.all() {
		s.deliver(newFrame(s.ns.name, nil, &goodbye))
	}
	c.conn.CloseAfterFlush(reason)
}

// doneContext is a context that ends when a channel is closed; never if that is nil.
type doneContext <-chan struct{}

// Deadline implements [context.Context].
func (doneContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements [context.Context].
func (c doneContext) Done() <-chan struct{} { return c }

// Err implements [context.Context].
func (c doneContext) Err() error {
	select {
	case <-c:
		return context.Canceled
	default:
		return nil
	}
}

// Value implements [context.Context].
func (doneContext) Value(any) any { return nil }
