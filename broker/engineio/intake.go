package engineio

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/ratelimit"
	"github.com/salabroker/sala/broker/realip"
)

const (
	// maxProbe is the most bytes of a message during an upgrade, where all that may come are "2probe" and "5".
	maxProbe = 64
	// messageTime is how long a message over WebSocket may take from the first of its bytes to the last, if it doesn't
	// come at once. The heartbeat doesn't notice: pongs may stand between fragments.
	messageTime = 30 * time.Second
	// minPause is for how long reading is paused at least: a client that is over its rate by less is read on.
	minPause = 20 * time.Millisecond
	// minRead is how much may always be read at a time.
	minRead = 4 << 10
)

var errHoards = &protocolError{ReasonUnfinished, "too many bytes of unfinished messages"}

// inflow is at what rate bytes come in on a connection.
type inflow struct {
	mu     sync.Mutex
	bucket ratelimit.Bucket
	until  atomic.Int64 // reading is paused until then, as Server.uptime
}

// intake is what one reader takes in for a connection: it measures its rate, and the bytes of the message that is on
// its way. It is used by one goroutine at a time.
type intake struct {
	conn  *Conn
	most  int64           // bytes to read at a time
	cut   func()          // called when what is held has to be given up; set before anything is
	held  *ratelimit.Hold // nil until something is held, and where there is no limit
	timed bool            // the message that is on its way has a deadline
}

func (c *Conn) newIntake() *intake {
	in := &intake{conn: c, most: 1 << 20, cut: c.Hoards}
	if rate := c.server.opts.ReadRate.PerSecond; rate > 0 {
		in.most = min(max(rate/4, minRead), in.most) // so that no pause is long
	}
	return in
}

// took counts n bytes that have been read, and returns for how long no more should be.
func (in *intake) took(n int) time.Duration {
	rate := in.conn.server.opts.ReadRate
	if n <= 0 || rate.PerSecond == 0 {
		return 0
	}
	f := &in.conn.inflow
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := f.bucket.Spend(rate, int64(n), in.conn.server.uptime()); wait >= minPause {
		return wait
	}
	return 0
}

// pause lets time pass in which nothing is read: what the client goes on to send fills the buffers of both systems, until
// the client has to wait.
func (in *intake) pause(d time.Duration) error {
	c := in.conn
	c.inflow.until.Store(int64(c.server.uptime() + d))
	c.server.opts.Observer.ReadPaused()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.done:
		return net.ErrClosed
	}
}

// hold counts n bytes more of a message, for which there is going to be room.
func (in *intake) hold(n int64) error {
	c := in.conn
	if !in.timed {
		in.timed = true
		c.expectMessage(time.Now().Add(messageTime))
	}
	return in.reserve(n)
}

// reserve counts n bytes more that are held.
func (in *intake) reserve(n int64) error {
	holds := in.conn.server.opts.Holds
	if holds == nil {
		return nil
	}
	if in.held == nil {
		in.held = holds.Hold(realip.Address(in.conn.remote), in.cut)
	}
	if !in.held.Grow(n) {
		return errHoards
	}
	return nil
}

// complete says that the message has arrived.
func (in *intake) complete() {
	if in.timed {
		in.timed = false
		in.conn.expectMessage(time.Time{})
	}
}

// release gives back what was held of a message.
func (in *intake) release() {
	in.complete()
	if in.held != nil {
		in.held.Release()
	}
}

// Hoards ends the connection at once: what has arrived of a message has to go.
func (c *Conn) Hoards() { c.terminate(ReasonUnfinished, errHoards) }

// expectMessage sets until when the message that is on its way has to be there; the zero time means that none is.
func (c *Conn) expectMessage(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines.message = until
	if !until.IsZero() {
		c.arm()
	}
}

// PausedUntil returns until when at least nothing is read from the connection since it has sent too much, or when that
// was so for the last time; the zero time if it never was. Whatever the client is late with may be behind what wasn't read until then.
func (c *Conn) PausedUntil() time.Time {
	until := c.inflow.until.Load()
	if until == 0 {
		return time.Time{}
	}
	return c.server.started.Add(time.Duration(until))
}

// Established says that the layer above knows who the client is: from now on its messages may have their full size.
func (c *Conn) Established() { c.established.Store(true) }

// KeptBytes returns how many bytes of a message are kept: all, or those of a handshake.
func (c *Conn) KeptBytes() int64 {
	_, keep := c.messageLimits()
	return keep
}

// messageLimits returns how many bytes a message may have, and how many of them are kept.
func (c *Conn) messageLimits() (most, keep int64) {
	most = c.server.opts.receiveLimit()
	if handshake := c.server.opts.MaxHandshake; handshake > 0 && !c.established.Load() {
		return most, min(most, handshake)
	}
	return most, most
}

// enlarge returns p with room for more bytes than it had.
func enlarge(p []byte, more int64) []byte {
	larger := make([]byte, len(p), int64(cap(p))+more)
	copy(larger, p)
	return larger
}
