package broker

import (
	"time"

	"github.com/salabroker/sala/broker/ratelimit"
)

// A socket with a session is away when it has lost its connection and not ended. It stays a member
// of its namespace and its rooms, until its client returns or its window is over.

const (
	// strangerWindow is how long a client may take to return that hasn't shown yet
	// that it knows of its session. Most of those never got that far. A client that
	// is cut in its first moment and stays away for longer connects afresh.
	strangerWindow = 10 * time.Second
	// reasonReplaced is why a socket was away whose client returned over another
	// connection before the end of the old one was noticed.
	reasonReplaced = "connection replaced"
)

// away is what only a session needs whose client is away. session.mu guards it.
type away struct {
	lost     time.Time   // when the client lost its connection
	why      string      // why it did
	deadline time.Time   // until when it may return
	window   *time.Timer // ends the session at the deadline
	counted  string      // the address at which it counts as away; empty for none
}

// lose is called when the socket has lost the connection c. It has no effect if the
// client has returned over another one already.
func (s *socket) lose(c *client, why string) {
	x := s.session
	x.mu.Lock()
	tooMany := false
	if !x.over && s.client.Load() == c {
		s.setAway(why)
		tooMany = !s.countAway(c.conn.RemoteAddress())
	}
	x.mu.Unlock()
	if tooMany {
		s.giveUp()
	}
}

// countAway counts the socket as one that is away at an address, and reports whether
// there is a place for it. session.mu is held.
func (s *socket) countAway(address string) bool {
	verdict := s.b.admission.away.enter(address)
	if verdict != ratelimit.Admitted {
		s.b.metrics.exceeded(limitConnectionsPerIP)
		s.b.noteLimit(limitConnectionsPerIP, s.ns.name, s.user, address, &Error{
			Code: CodeResourceExhausted, Reason: ReasonTooManyConnections,
			Message: "too many sessions of this address wait for their clients, so this one ends",
		})
		return false
	}
	s.session.away.counted = address
	return true
}

// endAway notes that the socket isn't away any longer. session.mu is held.
func (s *socket) endAway() {
	x := s.session
	x.away.window.Stop()
	if x.away.counted != "" {
		s.b.admission.away.leave(x.away.counted)
	}
	x.away = nil
	s.ns.away.Add(-1)
}

// setAway makes a connected socket one that is away. session.mu is held.
func (s *socket) setAway(why string) {
	x := s.session
	s.describe() // keeps the address, which goes with the connection
	s.client.Store(nil)
	s.abortWaiting()
	window := s.b.opts.Recovery.Window
	if !x.known {
		window = min(window, strangerWindow)
	}
	s.startWindow(window, why)
	s.loseAcks()
	s.publishAway(why)
	s.b.log.Debug("socket away", "socket", s.id, "namespace", s.ns.name, "user", s.user, "reason", why)
}

// startWindow begins the time in which the client may return that has lost its
// connection. session.mu is held.
func (s *socket) startWindow(window time.Duration, why string) {
	now := time.Now()
	s.session.away = &away{lost: now, why: why, deadline: now.Add(window), window: time.AfterFunc(window, s.expireWindow)}
	s.ns.away.Add(1)
}

// expireWindow ends the session of a client that hasn't returned in time.
func (s *socket) expireWindow() {
	x := s.session
	end, why := tombstone{notRecovered: notRecoveredExpired}, ""
	x.mu.Lock()
	expired := x.away != nil && !time.Now().Before(x.away.deadline)
	if expired {
		why = x.away.why
		s.closeSession(end)
	}
	x.mu.Unlock()
	if expired {
		s.endAs(why, end)
	}
}

// isAway reports whether the socket has no connection, and since when.
func (s *socket) isAway() (since time.Time, away bool) {
	x := s.session
	if x == nil || s.client.Load() != nil {
		return time.Time{}, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.away == nil {
		return time.Time{}, false
	}
	return x.away.lost, true
}
