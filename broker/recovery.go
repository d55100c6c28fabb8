package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/pid"
	"github.com/salabroker/sala/broker/rawjson"
	"github.com/salabroker/sala/broker/socketio"
)

// A client that takes part in recovery returns in the steps of an ordinary
// connect. Whoever asks to return is a candidate first: a new socket that becomes
// a member if the client can't have its old one back. So the token is verified and
// backends decide in any case. The candidate is dropped if the client resumes.

// maxOffsetBytes bounds the offset of a client. Longer texts aren't offsets.
const maxOffsetBytes = 64

// recoveryRequest is what a client sends as auth about recovery. Stock clients send
// pid and offset by themselves.
type recoveryRequest struct{ pid, offset string }

// readRecovery returns what the client asks for, and whether it takes part in
// recovery.
func (b *Broker) readRecovery(ns *namespace, p *socketio.Packet) (r recoveryRequest, takesPart bool) {
	if b.recovery == nil {
		return r, false
	}
	// Values of another type count as missing.
	var asked bool
	_ = json.Unmarshal(rawjson.Member(p.Auth, "recover"), &asked)
	if !b.opts.Recovery.Includes(ns.name, asked) {
		return r, false
	}
	_ = json.Unmarshal(rawjson.Member(p.Auth, "pid"), &r.pid)
	_ = json.Unmarshal(rawjson.Member(p.Auth, "offset"), &r.offset)
	return r, true
}

// seek looks for the socket that the client of a candidate wants to return to. The
// error says that the client was disconnected while it was away.
func (b *Broker) seek(candidate *socket, r recoveryRequest) *Error {
	if r.pid == "" {
		return nil
	}
	back := &returning{offset: r.offset, notRecovered: notRecoveredUnknown}
	candidate.session.back = back
	id, secret, ok := pid.Parse(r.pid)
	if !ok || len(id) > maxNameBytes || len(r.offset) > maxOffsetBytes || !b.mayBeOffset(r.offset) {
		return nil
	}
	candidate.session.earlier = r.offset
	ns := candidate.ns
	if s, ok := ns.index.Get(id); ok && s.session != nil && secret.Equal(s.session.secret) && !s.isShadow() {
		back.previous = id
		if s.user != candidate.user {
			back.notRecovered = notRecoveredUserChanged
			return nil
		}
		back.socket, back.connected = s, s.isConnected()
		if !back.connected {
			back.number = s.session.countReturn(candidate.connectTime, false)
		}
		return nil
	}
	if end, ok := b.recovery.tombstones.get(id); ok && secret.Equal(end.secret) && end.namespace == ns.name {
		back.previous = id
		if end.user != candidate.user {
			back.notRecovered = notRecoveredUserChanged
			return nil
		}
		back.notRecovered = end.notRecovered
		return b.recovery.tombstones.takeRefusal(id)
	}
	b.seekElsewhere(candidate, id, secret)
	return nil
}

// seekElsewhere notes that another node may have the session. If the nodes share
// keys, a client can't make them look for what it has made up.
func (b *Broker) seekElsewhere(candidate *socket, id string, secret pid.Secret) {
	back, home := candidate.session.back, cluster.OwnerOf(id)
	if string(home) != b.id && (b.mesh == nil || !b.mesh.HasNode(home)) {
		back.notRecovered = notRecoveredNodeLost
	}
	switch b.recovery.keys.Maker(secret, candidate.ns.name, candidate.user, id) {
	case pid.MadeHere:
		back.previous = id // nobody else can have made the secret
	case pid.MadeByNobody:
		back.notRecovered = notRecoveredUnknown
		return
	}
	if string(home) == b.id && b.movedSockets.lost(id) {
		back.notRecovered = notRecoveredNodeLost
	}
	if b.mesh != nil && (string(home) != b.id || b.sessionAt(id) != "") {
		back.elsewhere = &wire.SessionKey{Socket: id, Secret: secret[:], Namespace: candidate.ns.name, User: candidate.user}
	}
}

// countReturn numbers a return by when its client has asked for it. A later one
// overtakes it. The result is zero, which is no return's number, if that has happened
// already: what a client asks for at one node may be slower than what it asks for at
// another one after that.
//
// Proven says that the client has proven that it uses the connection with which it asked.
func (x *session) countReturn(asked time.Time, proven bool) uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if asked.Before(x.asked) {
		return 0
	}
	x.asked, x.proven = asked, proven
	x.returns++
	return x.returns
}

// overtaken reports whether a later return than this one has been asked for.
func (x *session) overtaken(number uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.returns != number
}

// returnsTo returns the socket of this node that the client of a candidate returns to;
// nil if there is none.
func (s *socket) returnsTo() *socket {
	if s.session == nil || s.session.back == nil {
		return nil
	}
	return s.session.back.socket
}

// returns reports whether the client of a candidate returns to a socket, of this node
// or another.
func (s *socket) returns() bool {
	return s.returnsTo() != nil || s.session != nil && s.session.back != nil && s.session.back.elsewhere != nil
}

// refuseReturn ends the socket that the client of a candidate returns to, because
// backends have refused the client.
func (s *socket) refuseReturn(code, message string) {
	if previous := s.returnsTo(); previous != nil {
		if !previous.session.overtaken(s.session.back.number) {
			previous.disconnectAs(code, message, tombstone{})
		}
		return
	}
	t := &Target{Namespace: s.ns.name, Sockets: []string{s.session.back.elsewhere.GetSocket()}}
	op := &wire.Op{Op: &wire.Op_Disconnect{Disconnect: &wire.Disconnect{Target: targetToWire(t), Reason: message}}}
	if err := s.b.tell(s.b.nodesOf(t), op); err != nil {
		s.b.log.Debug("a node doesn't learn that a client was refused", "error", err) // its session ends with its window
	}
}

// question describes the socket that backends decide about: as which the client
// wants to connect.
func (s *socket) question() *eventhub.Socket {
	d := s.describe()
	if !s.returns() {
		return d
	}
	as := *d
	if previous := s.returnsTo(); previous != nil {
		as.ID, as.ConnectTime = previous.id, previous.connectTime
	} else {
		as.ID = s.session.back.elsewhere.GetSocket()
	}
	return &as
}

var (
	errNotRecovered = &Error{Code: CodeFailedPrecondition, Reason: notRecoveredUnknown, Message: "the session can't be recovered"}
	errMoved        = &Error{Code: CodeFailedPrecondition, Reason: notRecoveredUnknown, Message: "another node has the session"}
	errOvertaken    = &Error{Code: CodeFailedPrecondition, Reason: notRecoveredUnknown, Message: "the client has returned over another connection"}
)

// decideReturn is decide for a client that returns to a socket.
func (c *client) decideReturn(candidate *socket) {
	back, decides := candidate.session.back, c.b.events.Decides(candidate.ns.name)
	if !decides && back.socket != nil && !back.connected {
		c.settle(candidate, c.undecided(eventhub.ErrNobodyDecides))
		return
	}
	ctx, cancel := context.WithCancel(doneContext(nil)) // a channel would need a goroutine that waits for it
	back.cancel = cancel                                // which is called when the connection has ended
	if connected := c.startDeciding(candidate); !connected {
		cancel()
		return
	}
	c.b.deciding.Add(1)
	c.b.workers.Go(func() {
		defer c.b.deciding.Done()
		defer cancel()
		proven := c.proveHere(ctx, candidate)
		if !proven {
			return
		}
		r := c.undecided(eventhub.ErrNobodyDecides)
		if decides {
			r = c.ask(candidate, candidate.connectEvent(), ctx.Done())
		}
		wanted := r.err != nil || c.fetch(ctx, candidate)
		if wanted && c.stopDeciding(candidate) {
			c.settle(candidate, r)
		}
	})
}

// prove waits until the client of a candidate has answered a ping that it has got since
// it has asked to return. A request to return may have been on its way for so long that
// its client has given it up, and has returned over another connection: such a client
// doesn't answer, and the one that is connected stays so. prove returns false if ctx
// ends first, which it does with the connection, at the latest when the answer is
// overdue.
func (c *client) prove(ctx context.Context, candidate *socket) bool {
	back, pong := candidate.session.back, make(chan struct{})
	c.mu.Lock()
	back.ping, back.pong = c.conn.Ping(), pong
	c.mu.Unlock()
	select {
	case <-pong:
		back.proven = true
		return true
	case <-ctx.Done():
		return false
	}
}

// notePong notes that the client of a candidate has answered a ping. client.mu is held.
func (s *socket) notePong(c *client, position uint64) {
	if s.session == nil || s.session.back == nil || s.session.back.pong == nil {
		return
	}
	back := s.session.back
	if position < back.ping { // that ping came first
		c.conn.Ping()
		return
	}
	close(back.pong)
	back.pong = nil
}

// proveHere has the client of a candidate prove that it uses its connection, if it
// returns to a socket of this node that is connected. It returns false if ctx ends first.
func (c *client) proveHere(ctx context.Context, candidate *socket) bool {
	s := candidate.returnsTo()
	if s == nil || !candidate.session.back.connected {
		return true
	}
	proven := c.prove(ctx, candidate)
	if proven {
		candidate.session.back.number = s.session.countReturn(candidate.connectTime, true)
	}
	return proven
}

// fetch takes the session over to which the client of a candidate returns, if another
// node may have it. It returns false if ctx ends before the client has proven that it
// uses its connection, which it must if the other node has a connection to it.
func (c *client) fetch(ctx context.Context, candidate *socket) bool {
	if !candidate.returns() || candidate.returnsTo() != nil {
		return true
	}
	back := candidate.session.back
	s, number, why := c.b.takeOver(ctx, back.elsewhere, takeOverFor{asked: candidate.connectTime})
	if why.connected {
		if proven := c.prove(ctx, candidate); !proven {
			return false
		}
		s, number, why = c.b.takeOver(ctx, back.elsewhere, takeOverFor{asked: candidate.connectTime, proven: true})
	}
	if s == nil {
		back.notRecovered = why.notRecovered
		back.refusal, back.overtaken = why.refusal, why.overtaken
		return true
	}
	back.socket, back.previous, back.number = s, s.id, number
	return true
}

// resume gives the client its socket back. It reports false if that isn't possible,
// so that the candidate becomes a member.
func (c *client) resume(candidate *socket) (done bool) {
	back := candidate.session.back
	switch {
	case back.refusal != nil:
		c.refuse(candidate.ns.name, candidate.user, back.refusal.Reason, back.refusal)
		return true
	case back.overtaken:
		c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
		return true
	case back.socket == nil:
		return false
	}
	s := back.socket
	if old := s.leaveFor(back.number); old != nil {
		old.release(s)
	}
	added := s.missingRooms(candidate.grant().Rooms)
	release, _ := c.b.subscribeTopics(subscribeTimeout, roomTopics(s.ns.name, added)...)
	defer release()
	attached, err := c.attach(s, func() *Error { return s.resumeOver(c, candidate, added) })
	switch {
	case errors.Is(err, errNotRecovered):
		s.endAs(endedByReturn, tombstone{notRecovered: back.notRecovered})
		return false
	case errors.Is(err, errMoved): // the client finds the session when it comes again
		c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
		return true
	case errors.Is(err, errOvertaken):
		c.yield(s, candidate)
		return true
	case err != nil:
		c.refuse(s.ns.name, s.user, err.Reason, err)
		return true
	case !attached:
		return true
	}
	c.b.metrics.returned(returnRecovered)
	c.b.log.Debug("socket resumed", "socket", s.id, "namespace", s.ns.name, "user", s.user)
	s.checkRevoked()
	if c.b.draining.Load() {
		c.sendAway()
	}
	return true
}

// yield closes the connection of a candidate that a later return to s has overtaken. The
// client tries again, unless both have proven that they use their connections: then somebody
// else has its session as well, and they would take it from each other for ever.
func (c *client) yield(s, candidate *socket) {
	s.session.mu.Lock()
	both := s.session.proven && candidate.session.back.proven
	s.session.mu.Unlock()
	if both {
		c.conn.Send(engineio.NewFrame(socketio.AppendDisconnect(nil, candidate.ns.name)), false)
	}
	c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
}

// leaveFor takes the socket from the connection that its client doesn't use any more,
// for the return with this number, unless that is overtaken. It returns the
// connection; nil if there was none.
func (s *socket) leaveFor(number uint64) *client {
	x := s.session
	x.mu.Lock()
	defer x.mu.Unlock()
	old := s.client.Load()
	if x.over || x.returns != number || old == nil {
		return nil
	}
	s.setAway(reasonReplaced)
	return old
}

// resumeOver makes c the connection of the socket: the client gets CONNECT, then
// exactly what it lacks, then what comes. That is one step, so that nothing comes
// in between. c.mu is held.
func (s *socket) resumeOver(c *client, candidate *socket, added []string) *Error {
	x, back := s.session, candidate.session.back
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.moved:
		return errMoved
	case x.returns != back.number || !x.over && s.client.Load() != nil:
		return errOvertaken
	case x.over:
		end, _ := s.b.recovery.tombstones.get(s.id)
		back.notRecovered = cmp.Or(end.notRecovered, notRecoveredUnknown)
		return cmp.Or(s.b.recovery.tombstones.takeRefusal(s.id), errNotRecovered)
	case x.missesMessages(s.b):
		back.notRecovered = notRecoveredNodeLost
		return errNotRecovered
	case !x.backlog.Received(back.offset):
		back.notRecovered = notRecoveredEvicted
		return errNotRecovered
	}
	if err := s.renewAs(candidate, added); err != nil {
		// It is about to end, or would be in too many rooms. A new socket may fit.
		back.notRecovered = notRecoveredUnknown
		return errNotRecovered
	}
	x.known = true
	s.client.Store(c)
	s.endAway()
	s.publishResumed()
	x.connect, _ = c.conn.Resend(s.connectFrame())
	replaced := x.backlog.Resend(x.connect, func(e *backlog.Event) uint64 {
		position, _ := c.conn.Resend(e.Frame())
		return position
	})
	s.b.metrics.FramesReplaced(replaced)
	c.conn.Ping()
	return nil
}

// renewAs gives the socket what the client's token, and the backends that were
// asked again, allow now. It has lost or joined rooms meanwhile, so it only joins
// those that it was never given.
func (s *socket) renewAs(candidate *socket, added []string) *Error {
	if err := s.renew(candidate.claims.of(candidate.user), added); err != nil {
		return err
	}
	if candidate.updated {
		s.update(candidate.shownData())
	}
	return nil
}

// missingRooms returns those of the rooms that the socket was never given.
func (s *socket) missingRooms(rooms []string) (missing []string) {
	given := s.grant().Rooms
	for _, room := range rooms {
		if !slices.Contains(given, room) {
			missing = append(missing, room)
		}
	}
	return missing
}

// release takes a socket from a connection that its client has left, and closes
// that. If somebody still reads there, it is told not to return.
func (c *client) release(s *socket) {
	c.mu.Lock()
	c.sockets = slices.DeleteFunc(c.sockets, func(other *socket) bool { return other == s })
	c.mu.Unlock()
	c.conn.Send(engineio.NewFrame(socketio.AppendDisconnect(nil, s.ns.name)), false)
	c.conn.CloseAfterFlush(engineio.ReasonForcedClose)
}

// sessionEvent is the event that tells a client why it could not return.
const sessionEvent = "sala:session"

// tellNotRecovered tells the client of a new socket why it could not return.
func (c *client) tellNotRecovered(s *socket) {
	if s.session == nil || s.session.back == nil {
		return
	}
	back := s.session.back
	s.publishing.Lock() // see publishStillConnected
	s.session.back = nil
	s.publishing.Unlock()
	c.b.metrics.returned(back.notRecovered)
	args, _ := json.Marshal([]any{struct { // it always encodes
		Recovered bool   `json:"recovered"`
		Code      string `json:"code"`
	}{false, back.notRecovered}})
	c.conn.Send(newFrame(s.ns.name, nil, &Message{Event: sessionEvent, Args: args}), false)
}

// evictAway ends the session of the user that has been away for longest, so that a
// client that connects afresh finds a place. It reports whether there was one.
func (b *Broker) evictAway(ns *namespace, user string) bool {
	var oldest *socket
	var since time.Time
	for _, s := range ns.index.Select(nil, Target{Users: []string{user}}) {
		if lost, away := s.isAway(); away && (oldest == nil || lost.Before(since)) {
			oldest, since = s, lost
		}
	}
	if oldest == nil {
		return false
	}
	oldest.giveUp()
	return true
}
