package engineio

import "time"

// deadlines is what a connection waits for; a zero time means that it doesn't. Guarded by Conn.mu.
type deadlines struct {
	heartbeat time.Time // the next ping is due, or the pong to the last one
	awaiting  bool      // it's the pong
	upgrade   time.Time // the client has completed its upgrade
	message   time.Time // the message that is on its way has arrived
	close     time.Time // the graceful close is over
}

func (d *deadlines) earliest() time.Time {
	return earlier(earlier(d.heartbeat, d.upgrade), earlier(d.message, d.close))
}

// earlier returns the first of two deadlines, either of which may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// arm tells the timers about the next deadline. The caller holds mu.
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

// onDeadline is called by the timers' goroutine some time after the earliest deadline.
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
			// Also if the pong may be behind what isn't read: the client goes when no ping comes.
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

// pausedWithin reports whether nothing was read from the client at a time that is less than d ago: what it has sent may be
// behind that. A client that has vanished isn't excused for long, as without bytes there are no pauses.
func (c *Conn) pausedWithin(d time.Duration, now time.Time) bool {
	return c.PausedUntil().Add(d).After(now)
}

// onPong is called for each pong that the client sends.
func (c *Conn) onPong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return
	}
	c.deadlines.awaiting, c.deadlines.heartbeat = false, time.Now().Add(c.server.opts.PingInterval)
	c.arm()
}
