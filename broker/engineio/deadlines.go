package engineio

import "time"

// deadlines is what a connection waits for; 0 means that it doesn't. Its times are uptimes of the
// server, which take a third of what a time.Time takes. Conn.mu guards it.
type deadlines struct {
	heartbeat time.Duration // for the next ping to be sent, or for the pong to the last one
	pings     int           // that wait for their pongs; heartbeat is for a pong then
	pinged    uint64        // position of the last ping
	written   bool          // the last ping has been written, and heartbeat counts from then
	upgrade   time.Duration // for the client to complete its upgrade
	message   time.Duration // for the rest of an incoming message
	close     time.Duration // for the graceful close to end
}

func (d *deadlines) earliest() time.Duration {
	return earlier(earlier(d.heartbeat, d.upgrade), earlier(d.message, d.close))
}

// earlier returns the earlier of two deadlines. A zero deadline is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func passed(deadline, now time.Duration) bool { return deadline != 0 && now >= deadline }

// arm sets the connection's timer to its next deadline, unless it is closed. The caller holds mu.
func (c *Conn) arm() {
	if c.state == stateClosed {
		return
	}
	first := c.deadlines.earliest()
	if c.poll != nil {
		first = earlier(first, c.poll.earliest())
	}
	c.server.timers.set(c, first)
}

// onDeadline is called by the timers' goroutine after the earliest deadline has passed.
func (c *Conn) onDeadline(now time.Duration) {
	c.mu.Lock()
	if c.state == stateClosed {
		c.mu.Unlock()
		c.server.remove(c)
		return
	}
	var abandoned *link
	var reason Reason
	var cause error
	d := &c.deadlines
	if passed(d.upgrade, now) {
		abandoned = c.dropProbe()
	}
	if passed(d.close, now) {
		reason = c.reason
	} else if passed(d.message, now) && !c.pausedWithin(messageTime, now) {
		reason = ReasonMessageTimeout
	} else if passed(d.heartbeat, now) {
		switch {
		case d.pings > 0 && c.pingWaits():
			d.heartbeat = now + c.server.opts.PingTimeout
		case d.pings > 0 && !c.pausedWithin(c.server.opts.PingTimeout, now):
			reason = ReasonPingTimeout
		default:
			// Also if the pong may be among what isn't read: a client without pings ends the
			// connection.
			c.ping(now)
		}
	}
	if passed(d.message, now) {
		d.message = now + messageTime
	}
	if c.poll != nil {
		cause = c.poll.overdue(now)
	}
	c.arm()
	c.mu.Unlock()

	if cause != nil {
		reason = ReasonTransportError
	}
	if abandoned != nil {
		abandoned.close(false)
	}
	if reason != "" {
		c.terminate(reason, cause)
	}
}

// pausedWithin reports whether reading was paused less than d ago, so that what the client is
// late with may be among what isn't read. A client that has vanished gets little extra time,
// since it sends nothing that pauses reading.
func (c *Conn) pausedWithin(d, now time.Duration) bool {
	until := time.Duration(c.inflow.pausedUntil.Load())
	return until != 0 && until+d > now
}

// pingWaits reports whether the last ping is still in the queue, behind so much that the client
// hasn't had its time to answer. If it takes nothing at all, the socket's own deadline ends the
// connection. A long-polling client that doesn't poll has none, so it gets no extra time. The
// caller holds mu.
func (c *Conn) pingWaits() bool {
	return c.ws != nil && c.out.first(c.pushed) <= c.deadlines.pinged
}

// notePing is called when something has been written. If that was the last ping, the client's time to
// answer begins now. The timer may go off earlier, and is set again then. The caller holds mu.
func (c *Conn) notePing() {
	d := &c.deadlines
	if d.pings > 0 && !d.written && !c.pingWaits() {
		d.written = true
		d.heartbeat = c.server.uptime() + c.server.opts.PingTimeout
	}
}

// Ping asks the client for a pong now, to learn through [Receiver.Confirmed] what it has received.
// It does nothing if the connection closes, or waits for a pong already. A ping that the client
// has got after this call began has the returned position or a later one.
func (c *Conn) Ping() (position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen || c.deadlines.pings > 0 {
		return c.pushed + 1
	}
	c.ping(c.server.uptime())
	c.arm()
	return c.pushed
}

// ping queues a ping. The caller holds mu, and arms the timer.
func (c *Conn) ping(now time.Duration) {
	c.push(c.server.frames.ping, nil)
	c.deadlines.pings++
	c.deadlines.pinged, c.deadlines.written = c.pushed, false
	c.deadlines.heartbeat = now + c.server.opts.PingTimeout
}

// awaitsPong reports whether a pong of the client is expected.
func (c *Conn) awaitsPong() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadlines.pings > 0
}

// onPong is called for each pong of the client. One that answers no ping means nothing. The pong to
// the last ping tells the receiver what the client has received: transports keep the order, and a
// client answers a ping after everything before it.
func (c *Conn) onPong() {
	c.mu.Lock()
	d := &c.deadlines
	if c.state != stateOpen || d.pings == 0 {
		c.mu.Unlock()
		return
	}
	d.pings--
	confirmed, position := d.pings == 0, d.pinged
	if confirmed {
		d.heartbeat = c.server.uptime() + c.server.opts.PingInterval
		c.arm()
	}
	c.mu.Unlock()

	if confirmed {
		c.guard(func() { c.receiver.Confirmed(position) })
	}
}
