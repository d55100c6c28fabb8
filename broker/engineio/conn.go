package engineio

import (
	"sync"
	"sync/atomic"
	"time"
)

// closeGrace is how long the peer may take to answer the close frame after that was written, and how long a
// long-polling client that has no poll pending may take to send the next one when the connection is to be closed. As
// long is a session known after its client has been told that it has ended.
const closeGrace = 2 * time.Second

type state uint8

const (
	stateOpen    state = iota
	stateClosing       // nothing more is accepted; what was queued is being written
	stateClosed
)

// Conn is one client's connection, over whichever transport it uses at the moment. All its methods may be called
// concurrently, also from its own [Receiver].
type Conn struct {
	// Static.
	server   *Server
	id       string
	remote   string
	receiver Receiver      // set before anything is read
	done     chan struct{} // closed when state becomes stateClosed

	next  *Conn // guarded by flushQueue.mu
	timer timer // guarded by timers.mu

	parking parking // guarded by idlers.mu

	established atomic.Bool // messages may have their full size
	inflow      inflow

	mu        sync.Mutex
	state     state
	reason    Reason // why it's closing, or closed
	cause     error  // the error behind it, if any
	out       queue
	scheduled bool     // it's in the flushQueue
	busy      bool     // somebody is writing to ws; only that one takes from out
	stalled   bool     // its socket takes no more bytes for now
	peerDone  bool     // the peer has sent its close frame
	broken    bool     // what the peer sends can't be understood any more
	ws        *link    // nil while the transport is long-polling
	poll      *polling // nil once the transport is WebSocket and no response is under way
	probe     *link    // the WebSocket that the client is upgrading to
	base64    bool     // its client can't read binary WebSocket frames
	probing   bool     // an upgrade is under way; probe may not be set yet
	deadlines deadlines
	closeBy   time.Time // when a graceful close is over at the latest
}

// RemoteAddress returns the client's address as the request had it that opened the connection.
func (c *Conn) RemoteAddress() string { return c.remote }

// Transport returns "polling" or "websocket", whichever the connection uses at the moment.
func (c *Conn) Transport() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws == nil {
		return transportPolling
	}
	return transportWebSocket
}

// Done returns a channel that is closed when the connection has ended, a little before its receiver is told.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Send appends f to what is written to the connection, in order with everything else, and returns [Queued], or why it
// has dropped f. It never waits for the client: if the queue is full because the server is behind, and not the client,
// Send writes some of the queue itself. It drops a volatile frame unless the client takes messages right now. A frame
// that would exceed MaxQueuedBytes is dropped and, unless it is volatile or the policy is Drop, the connection ends with
// ReasonSlowConsumer.
func (c *Conn) Send(f *Frame, volatile bool) DropReason {
	c.mu.Lock()
	f = c.encodingFor(f)
	reason := c.mayQueue(f, volatile)
	for reason == DropQueueFull {
		again := c.makeRoom()
		if !again {
			break
		}
		reason = c.mayQueue(f, volatile)
	}
	if reason == Queued {
		c.push(f)
	}
	c.mu.Unlock()

	if reason == Queued {
		return Queued
	}
	if reason == DropQueueFull && !volatile && c.server.opts.Policy == Disconnect {
		c.terminate(ReasonSlowConsumer, nil)
	}
	if !f.control {
		c.server.opts.Observer.FramesDropped(reason, 1)
	}
	return reason
}

// encodingFor returns f in the form that the client reads. The caller holds mu.
func (c *Conn) encodingFor(f *Frame) *Frame {
	if c.base64 {
		return f.inBase64()
	}
	return f
}

// mayQueue returns Queued, or why f can't be queued. The caller holds mu.
func (c *Conn) mayQueue(f *Frame, volatile bool) DropReason {
	limit := c.server.opts.MaxQueuedBytes
	switch {
	case c.state != stateOpen:
		return DropClosed
	case volatile && !c.writable():
		return DropNotWritable
	case f.cost() > limit:
		return DropTooLarge
	case c.out.cost+f.cost() > limit:
		return DropQueueFull
	default:
		return Queued
	}
}

// CloseAfterFlush closes the connection gracefully: it writes all that was queued, then the WebSocket close frame; a poll
// is told that the session doesn't exist. It doesn't wait for that, which takes WriteTimeout at most. The connection
// accepts nothing more. reason is what Receiver.Closed gets in the end. If the connection is closing already, it does
// nothing.
func (c *Conn) CloseAfterFlush(reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginClose(reason, nil)
}

// beginClose starts a graceful close. The caller holds mu.
func (c *Conn) beginClose(reason Reason, cause error) {
	if c.state != stateOpen {
		return
	}
	c.state, c.reason, c.cause = stateClosing, reason, cause
	c.deadlines.heartbeat = time.Time{}
	c.closeBy = time.Now().Add(c.server.opts.WriteTimeout)
	c.deadlines.close = c.closeBy
	if c.poll != nil && c.poll.pending == nil {
		c.limitClose()
	}
	c.arm()
	c.push(newCloseFrame(reason))
}

// limitClose leaves a closing connection only closeGrace more. The caller holds mu.
func (c *Conn) limitClose() {
	if limit := time.Now().Add(closeGrace); limit.Before(c.deadlines.close) {
		c.deadlines.close = limit
		c.arm()
	}
}

// push appends f without any check and sees to it that somebody writes it. The caller holds mu.
func (c *Conn) push(f *Frame) {
	c.out.push(f)
	c.wake()
}

// wake sees to it that somebody writes the queue. The caller holds mu.
func (c *Conn) wake() {
	if c.poll != nil {
		// Also during the last response of a connection that has just been upgraded: what that response carries
		// must not be overtaken, so its handler calls wake again when it is done.
		c.poll.signal()
		return
	}
	c.schedule()
}

// writable reports whether the client is taking messages right now. The caller holds mu.
func (c *Conn) writable() bool {
	if c.state != stateOpen {
		return false
	}
	if c.ws != nil {
		return !c.stalled
	}
	return c.poll.pending != nil
}

// terminate ends the connection at once. If it was closing already, it ends for the reason that it was closing for.
// [Receiver.Closed] follows on another goroutine, so terminate may be called from anywhere; not with mu held.
func (c *Conn) terminate(reason Reason, cause error) {
	c.mu.Lock()
	if c.state == stateClosed {
		c.mu.Unlock()
		return
	}
	if c.state == stateOpen {
		c.reason, c.cause = reason, cause
	}
	c.state = stateClosed
	undelivered := c.out.clear()
	ws, probe, poll := c.ws, c.dropProbe(), c.poll
	c.server.timers.set(c, time.Time{})
	close(c.done)
	c.mu.Unlock()

	if undelivered > 0 {
		c.server.opts.Observer.FramesDropped(DropUndelivered, undelivered)
	}
	if probe != nil {
		probe.close(false)
	}
	if ws != nil {
		ws.close(reason == ReasonSlowConsumer)
		c.server.idlers.closed(c)
		return // its reader calls finish
	}
	go func() {
		poll.delivery <- struct{}{} // not while a POST delivers; never released, as nothing may follow
		c.finish()
	}()
}

// finish makes the end of the connection known. It's called once, by whoever called the receiver before.
func (c *Conn) finish() {
	c.mu.Lock()
	told := c.poll != nil && c.poll.told
	c.mu.Unlock()
	if told {
		c.server.timers.set(c, time.Now().Add(closeGrace)) // for the POSTs that are on their way
	} else {
		c.server.remove(c)
	}
	c.server.idlers.forget(c)
	log := c.server.opts.Logger.Debug
	if c.reason == ReasonSlowConsumer { // the operator may wonder where a client has gone
		log = c.server.opts.Logger.Info
	}
	log("connection closed", "address", c.remote, "reason", string(c.reason), "error", c.cause)
	c.server.opts.Observer.ConnClosed(c.reason)
	c.guard(func() { c.receiver.Closed(c.reason, c.cause) })
	c.server.release()
}

// backlog is how many bytes are kept for the client: what is queued, and the answer to its last poll until the next.
// The caller holds mu.
func (c *Conn) backlog() int {
	if c.poll == nil || c.poll.last == nil {
		return c.out.cost
	}
	return c.out.cost + len(c.poll.last.answer.body)
}
