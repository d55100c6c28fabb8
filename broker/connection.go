package broker

import (
	"sync"
	"time"

	"github.com/salabroker/sala/broker/engine"
)

// linger is how long a connection without a socket may stay. Stock clients
// close theirs at once; this one is for those that don't.
const linger = 2 * time.Second

// connections knows how many sockets each connection carries, and closes those
// that carry none any more.
type connections struct {
	mu      sync.Mutex
	stopped bool
	byConn  map[*engine.Conn]*connection
}

// maxRefusals is how often a connection may be refused before it is closed.
// Each refusal costs the check of a token and a line of the log.
const maxRefusals = 10

type connection struct {
	sockets  int
	refusals int
	closing  *time.Timer // set while sockets is 0 after it was more
}

// entry returns what is known of conn. The caller holds mu.
func (c *connections) entry(conn *engine.Conn) *connection {
	if c.byConn == nil {
		c.byConn = make(map[*engine.Conn]*connection)
	}
	entry, ok := c.byConn[conn]
	if !ok {
		entry = &connection{}
		c.byConn[conn] = entry
	}
	return entry
}

// refuse counts a refused socket and closes a connection that has had too many.
func (c *connections) refuse(conn *engine.Conn) {
	c.mu.Lock()
	entry := c.entry(conn)
	entry.refusals++
	first, tooMany := entry.refusals == 1, entry.refusals > maxRefusals
	c.mu.Unlock()
	if first {
		_ = conn.Once("close", func(...any) { c.forget(conn) })
	}
	if tooMany {
		conn.CloseAfterFlush(engine.ReasonForcedClose)
	}
}

// forget drops a connection that has ended, unless its sockets are still to be
// detached.
func (c *connections) forget(conn *engine.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry, ok := c.byConn[conn]; ok && entry.sockets == 0 && entry.closing == nil {
		delete(c.byConn, conn)
	}
}

func (c *connections) attach(conn *engine.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.entry(conn)
	entry.sockets++
	if entry.closing != nil {
		entry.closing.Stop()
		entry.closing = nil
	}
}

func (c *connections) detach(conn *engine.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.byConn[conn]
	if !ok {
		return
	}
	if entry.sockets--; entry.sockets > 0 {
		return
	}
	if c.stopped || conn.ReadyState() != "open" {
		delete(c.byConn, conn)
		return
	}
	entry.closing = time.AfterFunc(linger, func() { c.expire(conn, entry) })
}

// expire closes a connection that has carried no socket for a while.
func (c *connections) expire(conn *engine.Conn, entry *connection) {
	c.mu.Lock()
	idle := entry.sockets == 0 && c.byConn[conn] == entry
	if idle {
		delete(c.byConn, conn)
	}
	c.mu.Unlock()
	if idle {
		conn.CloseAfterFlush(engine.ReasonForcedClose)
	}
}

// stop ends all timers.
func (c *connections) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for conn, entry := range c.byConn {
		if entry.closing != nil {
			entry.closing.Stop()
		}
		delete(c.byConn, conn)
	}
}
