package engineio

import (
	"net/http"
	"time"
)

// beginProbe claims a long-polling connection for one upgrade.
func (c *Conn) beginProbe() refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed:
		return unknownSession
	case c.ws != nil || c.probing:
		return alreadyUpgrading
	}
	c.probing = true
	c.deadlines.upgrade = c.server.uptime() + c.server.opts.UpgradeTimeout
	c.arm()
	return accepted
}

// dropProbe ends an incomplete upgrade and returns the link to close. The caller holds mu.
func (c *Conn) dropProbe() *link {
	l := c.probe
	c.probe, c.probing, c.deadlines.upgrade = nil, false, 0
	return l
}

// serveUpgrade handles a WebSocket request of a client that has a long-polling connection. The
// connection keeps its transport until the client has tested the WebSocket and asked for the
// upgrade.
func (c *Conn) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	key := acceptKey(r)
	if key == "" {
		badRequest.write(w)
		return
	}
	switch refused := c.beginProbe(); refused {
	case accepted:
	case alreadyUpgrading:
		c.acceptAndClose(w, key)
		return
	default:
		refused.write(w)
		return
	}
	l, reader, err := c.server.accept(w, c, key, nil)
	if err != nil {
		c.server.refuseAccept(w, err)
		c.abandonProbe(nil)
		return
	}
	inBase64 := wantsBase64(r)
	c.mu.Lock()
	// Meanwhile this request's claim may have run out, and another request may have claimed the
	// upgrade and stored its link. A link that isn't stored is closed here, as nobody else could.
	current := c.probing && c.probe == nil && c.state != stateClosed
	if current {
		c.probe = l
		if inBase64 && !c.base64 {
			c.base64 = true
			c.out.toBase64()
		}
		c.server.readers.Go(func() { c.readProbe(l, reader) })
	}
	c.mu.Unlock()
	if !current {
		l.close(true)
		reader.close()
	}
}

// acceptAndClose answers a WebSocket request for a session that has one already. The official
// protocol tests and some clients expect such a WebSocket to open and then to close.
func (c *Conn) acceptAndClose(w http.ResponseWriter, key string) {
	l, reader, err := c.server.accept(w, c, key, appendHeader(nil, opClose, 0))
	if err != nil {
		c.server.refuseAccept(w, err)
		return
	}
	defer reader.close()
	defer l.close(false)
	l.closeWrite()
	if err := l.nc.SetReadDeadline(time.Now().Add(closeGrace)); err == nil {
		// Closing with something unread could make the client's system drop the close frame.
		reader.discard()
	}
}

// abandonProbe gives up an upgrade whose link is l, or nil if it isn't stored, unless the connection has
// ended or another request has claimed the upgrade and stored its link.
func (c *Conn) abandonProbe(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probe == l && c.state != stateClosed {
		c.dropProbe()
		c.arm()
	}
}

// readProbe reads the WebSocket of an upgrade, and then of the upgraded connection.
func (c *Conn) readProbe(l *link, r *reader) {
	upgraded := c.awaitUpgrade(l, r)
	if upgraded {
		upgraded = c.switchTo(l)
	}
	if upgraded {
		// The client has opened its sockets before, so the next message may be the answer to a
		// ping, half a minute from now.
		r.parks = l.canPark()
		r.idleFrames = 0 // those of the upgrade don't count, or the connection would be parked with its reader
		c.read(r)
		return
	}
	l.close(false)
	r.close()
	c.abandonProbe(l)
}

// awaitUpgrade exchanges the probes. It reports whether the client has then asked for the
// upgrade.
func (c *Conn) awaitUpgrade(l *link, r *reader) bool {
	for {
		opcode, payload, err := r.next()
		if err != nil || r.countIdle() != nil {
			return false
		}
		timeout := c.server.opts.WriteTimeout
		switch message := string(payload); {
		case opcode == opText && message == string(rune(packetPing))+probe:
			if err := l.write(c.server.frames.probe.wire, timeout); err != nil {
				return false
			}
			c.ReleasePoll()
		case opcode == opText && message == string(rune(packetUpgrade)):
			return true
		case opcode == opPing:
			if err := l.write(newControlFrame(opPong, payload).wire, timeout); err != nil {
				return false
			}
		case opcode == opPong:
		default:
			return false
		}
	}
}

// ReleasePoll has the pending poll, or else the next one, answered, so that the client polls again or
// goes on with its upgrade, before which it waits for the answer. It reports whether the connection
// uses long-polling; if not, it does nothing.
func (c *Conn) ReleasePoll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poll != nil {
		c.poll.noopDue = true
		c.poll.signal()
	}
	return c.ws == nil
}

// switchTo makes l the connection's transport. It reports false if the upgrade can't go on.
func (c *Conn) switchTo(l *link) bool {
	c.mu.Lock()
	p := c.poll
	c.mu.Unlock()
	begun := p.beginDelivery(c) // what the last POST carries comes before what l carries
	if !begun {
		return false
	}
	defer func() { <-p.delivery }()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stateClosed || c.probe != l || p.last != nil && p.last.failed {
		return false
	}
	c.dropProbe()
	c.arm()
	c.setLink(l)
	c.server.opts.Traffic.polls(-1)
	if p.pending != nil || p.last.writing() {
		p.signal() // its handler calls leavePolling
	} else {
		c.leavePolling()
	}
	return true
}
