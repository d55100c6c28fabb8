package engineio

import "time"

// deadlines is what a connection waits for; a zero time means that it doesn't. Conn.mu guards it.
type deadlines struct {
	heartbeat time.Time // for the next ping to be sent, or for the pong to the last one
	awaiting  bool      // heartbeat is for a pong
	upgrade   time.Time // for the client to complete its upgrade
	message   time.Time // for the rest of an incoming message
	close     time.Time // for the graceful close to end
}

func (d *deadlines) earliest() time.Time {
	return earlier(earlier(d.heartbeat, d.upgrade), earlier(d.message, d.close))
}

// earlier returns the earlier of two deadlines. A zero deadline is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

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
func (c *Conn) onDeadline(now time.Time) {
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
		if d.awaiting && !c.pausedWithin(c.server.opts.PingTimeout, now) {
			reason = ReasonPingTimeout
		} else {
			// Also if the pong may be among what isn't read: a client without pings ends the
			// connection.
			c.push(c.server.frames.ping)
			d.awaiting, d.heartbeat = true, now.Add(c.server.opts.PingTimeout)
		}
	}
	if passed(d.message, now) {
		d.message = now.Add(messageTime)
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
func (c *Conn) pausedWithin(d time.Duration, now time.Time) bool {
	return c.PausedUntil().Add(d).After(now)
}

// onPong is called for each pong of the client.
func (c *Conn) onPong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return
	}
	c.deadlines.awaiting, c.deadlines.heartbeat = false, time.Now().Add(c.server.opts.PingInterval)
	c.arm()
}
