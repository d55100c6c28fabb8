package engineio

import (
	"sync"
	"sync/atomic"
	"time"
)

// closeGrace is how long a peer may take to answer the close frame, and how long a long-polling
// client without a pending poll may take to send the next one while its connection closes. The
// server also knows a session for that long after it has told the client that the session has ended.
const closeGrace = 2 * time.Second

type state uint8

const (
	stateOpen    state = iota
	stateClosing       // accepts nothing more, and writes what was queued
	stateClosed
)

// Conn is one client's connection, over whichever transport it uses at the moment. All its methods
// may be called concurrently, also by its own [Receiver].
type Conn struct {
	// What a message touches on its way stands together, at the start: a broadcast finds none of it
	// in the processor's cache. Guarded by mu, except for server, which is static.
	mu        sync.Mutex
	state     state
	scheduled bool // it's in the flushQueue, or about to be
	busy      bool // a goroutine writes to ws; only that one takes from out
	stalled   bool // its socket takes no more bytes for now
	base64    bool // its client can't read binary WebSocket frames
	socket    descriptor
	server    *Server
	ws        *link    // nil while the transport is long-polling
	poll      *polling // nil once the transport is WebSocket and no response is under way
	pushed    uint64   // frames that have been queued so far, which numbers them
	resent    int      // cost of frames that Resend has queued since the queue was empty last
	out       queue

	// Guarded by mu, too.
	deadlines deadlines
	peerDone  bool          // the peer has sent its close frame
	broken    bool          // the peer has broken the protocol, so nothing more it sends can be read
	probing   bool          // an upgrade is under way; probe may not be set yet
	lost      uint32        // messages that were queued when it ended, and that nobody keeps
	reason    Reason        // why it's closing, or closed
	cause     error         // the error behind it, if any
	probe     *link         // the WebSocket that the client is upgrading to
	closeBy   time.Duration // uptime of the server at which a graceful close ends at the latest
	done      chan struct{} // closed when state becomes stateClosed; nil until somebody waits for that

	// Static.
	id       string
	remote   string
	receiver Receiver // set before anything is read

	timer timer // guarded by timers.mu

	parkState parkState // guarded by parker.mu

	established atomic.Bool // messages may have their full size
	inflow      inflow
}

// RemoteAddress returns the client's address: RemoteAddr of the request that opened the connection.
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

// Done returns a channel that is closed when the connection has ended, a little before
// [Receiver.Closed] is called.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.state == stateClosed {
			close(c.done)
		}
	}
	return c.done
}

// Open reports whether the connection takes messages: it hasn't ended, and doesn't close.
func (c *Conn) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == stateOpen
}

// Send appends f to what is written to the connection, in order with everything else. It returns
// [Queued], or why it has dropped f.
//
// Send never waits for the client. If the queue is full because the server is behind, and not the
// client, Send writes some of the queue itself. It drops a volatile frame unless the client takes
// messages right now. A frame that would exceed MaxQueuedBytes is dropped; unless it is volatile or
// the policy is Drop, the connection then ends with ReasonSlowConsumer.
//
// A frame with a [ConflationKey] replaces the last one with the same key that still waits, whose place
// in the order is gone then. One that is being written at that moment stays.
func (c *Conn) Send(f *Frame, volatile bool) DropReason {
	_, _, reason := c.send(f, volatile, nil)
	return reason
}

// SendNumbered is Send, and returns f's position among everything that the connection has queued,
// for [Receiver.Confirmed]. If f was dropped, no confirmation reaches its position. replaced is the
// position of the frame that f has replaced, and that the client doesn't get; 0 if there is none.
func (c *Conn) SendNumbered(f *Frame, volatile bool) (position, replaced uint64, reason DropReason) {
	return c.send(f, volatile, nil)
}

// send is SendNumbered. A connection that is to be written goes into the batch; to the flushers if
// that is nil.
func (c *Conn) send(f *Frame, volatile bool, to *Batch) (position, replaced uint64, reason DropReason) {
	c.mu.Lock()
	f = c.encodingFor(f)
	reason = c.mayQueue(f, volatile)
	for reason == DropQueueFull {
		again := c.makeRoom()
		if !again {
			break
		}
		reason = c.mayQueue(f, volatile)
	}
	if reason == Queued {
		if f.conflates() {
			replaced = c.out.replace(f, c.pushed)
		}
		c.push(f, to)
		position = c.pushed
		c.mu.Unlock()
		if replaced > 0 {
			c.server.opts.Observer.FramesReplaced(1)
		}
		return position, replaced, Queued
	}
	position = c.pushed + 1
	c.mu.Unlock()

	if reason == DropQueueFull && !volatile && c.server.opts.Policy == Disconnect {
		c.terminate(ReasonSlowConsumer, nil)
	}
	if !f.control && !f.kept {
		c.server.opts.Observer.FramesDropped(reason, 1)
	}
	return position, 0, reason
}

// Resend is SendNumbered for a frame that the caller keeps for the client in any case: it replaces
// nothing, and doesn't count towards MaxQueuedBytes until the queue has been empty. Otherwise a client that comes back
// to a full queue could never catch up. The caller bounds what it sends again.
func (c *Conn) Resend(f *Frame) (position uint64, reason DropReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return c.pushed + 1, DropClosed
	}
	f = c.encodingFor(f)
	c.push(f, nil)
	c.resent += f.cost()
	return c.pushed, Queued
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
	case c.out.cost+f.cost() <= limit+c.resent:
		return Queued
	}
	if f.conflates() && c.out.cost-c.out.olderCost(f, c.pushed)+f.cost() <= limit+c.resent {
		return Queued
	}
	return DropQueueFull
}

// writable reports whether the client takes messages right now. The caller holds mu.
func (c *Conn) writable() bool {
	if c.state != stateOpen {
		return false
	}
	if c.ws != nil {
		return !c.stalled
	}
	return c.poll.pending != nil
}

// push appends f without any check and has the queue written, with a batch if it isn't nil. The
// caller holds mu.
func (c *Conn) push(f *Frame, to *Batch) {
	if c.out.empty() {
		c.resent = 0
	}
	c.pushed++
	c.out.push(f, c.pushed)
	c.server.opts.Traffic.sent(f)
	if c.poll == nil {
		c.schedule(to)
		return
	}
	// Right after an upgrade, the last response may still be under way, and what it carries must come
	// first. Its handler schedules the connection when it is done.
	c.poll.signal()
}

// backlog returns how many bytes are kept for the client: the queue, and the answer to its last poll
// until the next one. The caller holds mu.
func (c *Conn) backlog() int {
	if c.poll == nil || c.poll.last == nil {
		return c.out.cost
	}
	return c.out.cost + len(c.poll.last.answer.body)
}

// Waiting returns how many bytes wait for the client, and whether it takes none at the moment.
func (c *Conn) Waiting() (bytes int, blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backlog(), !c.writable()
}

// Undelivered returns how many messages were queued when the connection ended, without those that
// the caller keeps ([Frame.Keep]) and without the protocol's own. It is 0 before the end.
func (c *Conn) Undelivered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.lost)
}

// CloseAfterFlush closes the connection gracefully: the server writes what was queued, then the
// WebSocket close frame; a poll is told that there is no such session. CloseAfterFlush doesn't wait
// for that, which takes at most WriteTimeout. Nothing more can be sent. [Receiver.Closed] gets the
// reason. If the connection is already closing, CloseAfterFlush does nothing.
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
	c.deadlines.heartbeat = 0
	c.closeBy = c.server.uptime() + c.server.opts.WriteTimeout
	c.deadlines.close = c.closeBy
	if c.poll != nil && c.poll.pending == nil {
		c.limitClose()
	}
	c.arm()
	c.push(newCloseFrame(reason), nil)
}

// limitClose leaves a closing connection no more than closeGrace. The caller holds mu.
func (c *Conn) limitClose() {
	if limit := c.server.uptime() + closeGrace; limit < c.deadlines.close {
		c.deadlines.close = limit
		c.arm()
	}
}

// terminate ends the connection at once. If it was closing already, the reason for that stays.
// [Receiver.Closed] follows on another goroutine, so terminate may be called from anywhere, except
// with mu held.
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
	c.lost = uint32(undelivered) //nolint:gosec // MaxQueuedBytes bounds it
	ws, probe, poll := c.ws, c.dropProbe(), c.poll
	abrupt := reason == ReasonSlowConsumer
	left := c.socket.leave(abrupt)
	c.server.timers.set(c, 0)
	if c.done != nil {
		close(c.done)
	}
	if poll != nil {
		close(poll.ended)
	}
	c.mu.Unlock()

	if undelivered > 0 {
		c.server.opts.Observer.FramesDropped(DropUndelivered, undelivered)
	}
	if probe != nil {
		probe.close(false)
	}
	if ws != nil {
		if !left {
			c.closeSocket(ws, abrupt)
		}
		return // the reading goroutine calls finish
	}
	c.server.opts.Traffic.polls(-1)
	go func() {
		poll.delivery <- struct{}{} // not while a POST delivers; not released, as nothing may follow
		c.finish()
	}()
}

// closeSocket closes the socket of a connection that has ended. It is called once.
func (c *Conn) closeSocket(ws *link, abrupt bool) {
	ws.close(abrupt)
	c.server.parker.socketClosed(c)
}

// finish makes the end of the connection known. The goroutine that delivers messages to the receiver
// calls it, or its successor; it is called once.
func (c *Conn) finish() {
	c.mu.Lock()
	told := c.poll != nil && c.poll.toldEnd
	c.mu.Unlock()
	if told {
		c.server.timers.set(c, c.server.uptime()+closeGrace) // for the POSTs that are on their way
	} else {
		c.server.remove(c)
	}
	c.server.parker.forget(c)
	log := c.server.opts.Logger.Debug
	if c.reason == ReasonSlowConsumer { // operators may look for the client
		log = c.server.opts.Logger.Info
	}
	log("connection closed", "address", c.remote, "reason", string(c.reason), "error", c.cause)
	c.server.opts.Observer.ConnClosed(c.reason)
	c.guard(func() { c.receiver.Closed(c.reason, c.cause) })
	c.server.release()
}
