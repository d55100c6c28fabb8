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

type connection struct {
	sockets int
	closing *time.Timer // set while sockets is 0
}

func (c *connections) attach(conn *engine.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byConn == nil {
		c.byConn = make(map[*engine.Conn]*connection)
	}
	entry, ok := c.byConn[conn]
	if !ok {
		entry = &connection{}
		c.byConn[conn] = entry
	}
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
