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
	// maxProbe is the largest message during an upgrade. Only "2probe" and "5" may come.
	maxProbe = 64
	// messageTime is how long a message over WebSocket may take from its first byte to its last. The
	// heartbeat doesn't limit that, as pongs may stand between fragments.
	messageTime = 30 * time.Second
	// minPause is the shortest pause in reading. A client that is over its rate by less isn't paused.
	minPause = 20 * time.Millisecond
	// minRead is how many bytes may always be read at a time.
	minRead = 4 << 10
	// maxRead is the most bytes that are read at a time.
	maxRead = 1 << 20
	// minGrowth is the least by which the room for a long message grows. It doubles each time: a
	// client must send bytes, and not only announce them, before memory is spent on them.
	minGrowth = 8 << 10
)

var errUnfinished = &protocolError{ReasonUnfinished, "too many bytes of unfinished messages"}

// inflow is the rate at which bytes arrive on a connection.
type inflow struct {
	mu          sync.Mutex
	bucket      ratelimit.Bucket
	pausedUntil atomic.Int64 // by Server.uptime
}

// intake is what one reader takes in for a connection: it measures the rate, and counts the bytes of
// the message that is arriving. One goroutine at a time uses it.
type intake struct {
	conn    *Conn
	maxRead int64           // bytes to read at a time
	onEvict func()          // called when the held bytes have to go, instead of conn.EndUnfinished; usually nil
	held    *ratelimit.Hold // nil until bytes are held, and without a limit
	timed   bool            // the message that is arriving has a deadline
}

func (c *Conn) newIntake() *intake {
	in := &intake{conn: c, maxRead: maxRead}
	if rate := c.server.opts.ReadRate.PerSecond; rate > 0 {
		in.maxRead = min(max(rate/4, minRead), maxRead) // so that no pause is long
	}
	return in
}

// countRead counts n bytes that were read. It returns how long to pause before the next read.
func (in *intake) countRead(n int) time.Duration {
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

// pause waits for d without reading. Meanwhile the client fills the buffers of both systems, and
// then has to wait.
func (in *intake) pause(d time.Duration) error {
	c := in.conn
	c.inflow.pausedUntil.Store(int64(c.server.uptime() + d))
	c.guard(c.receiver.Paused)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.Done():
		return net.ErrClosed
	}
}

// holdMessage counts n more bytes of a message over WebSocket before room is made for them. The
// first call gives the message its deadline.
func (in *intake) holdMessage(n int64) error {
	if !in.timed {
		in.timed = true
		in.conn.expectMessage(in.conn.server.uptime() + messageTime)
	}
	return in.hold(n)
}

// hold counts n more bytes as held.
func (in *intake) hold(n int64) error {
	holds := in.conn.server.opts.Holds
	if holds == nil {
		return nil
	}
	if in.held == nil {
		onEvict := in.onEvict
		if onEvict == nil {
			onEvict = in.conn.EndUnfinished
		}
		in.held = holds.Hold(realip.Address(in.conn.remote), onEvict)
	}
	granted := in.held.Grow(n)
	if !granted {
		return errUnfinished
	}
	return nil
}

// complete takes the deadline of the message away, which has arrived.
func (in *intake) complete() {
	if in.timed {
		in.timed = false
		in.conn.expectMessage(0)
	}
}

// release gives back the held bytes of a message.
func (in *intake) release() {
	in.complete()
	if in.held != nil {
		in.held.Release()
	}
}

// enlarge returns p with room for more bytes.
func enlarge(p []byte, more int64) []byte {
	larger := make([]byte, len(p), int64(cap(p))+more)
	copy(larger, p)
	return larger
}

// EndUnfinished ends the connection at once, with ReasonUnfinished, because the bytes of its
// unfinished message are needed for others.
func (c *Conn) EndUnfinished() { c.terminate(ReasonUnfinished, errUnfinished) }

// expectMessage sets the deadline of the message that is arriving, as an uptime of the server; 0
// means none.
func (c *Conn) expectMessage(until time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines.message = until
	if until != 0 {
		c.arm()
	}
}

// PausedUntil returns when the current pause in reading ends, or when the last one has ended; the
// zero time if there was none. What a client is late with may be among what wasn't read until then.
func (c *Conn) PausedUntil() time.Time {
	until := c.inflow.pausedUntil.Load()
	if until == 0 {
		return time.Time{}
	}
	return c.server.started.Add(time.Duration(until))
}

// Established says that the layer above knows who the client is. From now on its messages may have
// their full size.
func (c *Conn) Established() { c.established.Store(true) }

// KeptBytes returns how many bytes of a message are kept: MaxPayload and OversizeHandshake, or
// MaxHandshake before Established.
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
