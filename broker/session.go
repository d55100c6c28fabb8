package broker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/pid"
	"github.com/salabroker/sala/broker/socketio"
)

// RecoveryOptions says which sockets get a session, with which their clients can
// return after they have lost their connection, and what sessions may hold.
type RecoveryOptions struct {
	// Window is how long a client may stay away; 2 min by default, at most a day.
	Window time.Duration
	// Mode says which clients take part; RecoverOptional by default.
	Mode RecoveryMode
	// Namespaces are those whose clients all take part with RecoverAlways; none means
	// all of the broker. With RecoverOptional they have no effect.
	Namespaces []string
	// MaxMessages bounds the messages that one session holds until its client has
	// confirmed them; 1024 by default.
	MaxMessages int
	// MaxBytes bounds the bytes of these messages; 1 MiB by default. A message of the
	// largest size always fits. A session that would hold more of either can't be
	// recovered, unless its client confirms what was evicted before it returns.
	MaxBytes int64
	// MaxNodeBytes bounds the bytes that all sessions of the node hold together. By
	// default it is a quarter of MemoryLimit, or 256 MiB without one.
	MaxNodeBytes int64
}

// RecoveryMode says which clients get a session.
type RecoveryMode string

// The modes of recovery.
const (
	// RecoverOptional gives a session to each client that asks for one.
	RecoverOptional RecoveryMode = "optional"
	// RecoverAlways gives one to every client of some namespaces, and to each that
	// asks in the others.
	RecoverAlways RecoveryMode = "always"
)

// Includes reports whether a client of the namespace gets a session. Asked says
// that it asks for one.
func (r *RecoveryOptions) Includes(namespace string, asked bool) bool {
	switch {
	case r == nil:
		return false
	case asked:
		return true
	}
	return r.Mode == RecoverAlways && (len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, namespace))
}

// session is what lets a socket outlive its connection: the events that the client
// has not confirmed, and the time in which it may return. Sockets that don't take
// part in recovery have none.
//
// A socket with a session is connected or away, until it ends. While it is away,
// it stays a member of its namespace and its rooms.
type session struct {
	// Static.
	secret  pid.Secret
	earlier string   // offset of what the client had received last when the session began; empty for none
	arrival *arrival // nil unless the session has come from another node

	back *returning // of a candidate, until it is a member; owned by its handshake, then guarded by socket.publishing

	// Guarded by mu, which comes after client.mu and before socket.mu. So is
	// socket.client of a socket that has a session.
	mu      sync.Mutex
	backlog backlog.Backlog
	over    bool      // the client can't return any more, at least not here
	moved   bool      // because another node has the session
	shadow  bool      // another node still has the session; see takeover.go
	gap     bool      // messages are missing that nobody has kept
	known   bool      // the client has shown that it knows of the session
	proven  bool      // it has proven that it uses the connection with which it asked to return
	connect uint64    // position of the CONNECT packet on the connection
	returns uint64    // how often the client has asked to return
	gaps    uint64    // recovery.gaps when the session began
	pinged  time.Time // when the client was asked last to confirm ahead of time
	asked   time.Time // when the client has connected, or asked to return last
	away    *away     // nil while the client is connected

	described *wire.SessionClaims // the socket's claims, once they were described; guarded by socket.mu
}

// arrival is what only a session needs that has come from another node.
type arrival struct {
	// Static.
	moves uint32 // how often another node has taken the socket over
	at    int64  // when this node did, in nanoseconds since 1970

	// Guarded by session.mu.
	had      map[string]bool // offsets of what came while the session was moved; nil if none can come again
	hadUntil time.Time       // when none can
	settled  map[string]bool // of a shadow: offsets of what its owner must have by now; see settle
	pending  *ending         // of a shadow: how the socket ends once it isn't one any more; nil if it doesn't
}

// returning is what a client asks for that wants to return to a socket. It belongs
// to the candidate.
type returning struct {
	socket       *socket          // that it returns to; nil if it can't
	elsewhere    *wire.SessionKey // of the session, if another node may have it
	previous     string           // the socket's id, if the client has shown that it was its own; otherwise empty
	offset       string           // of the last event that the client has received; empty for none
	number       uint64           // of this return, among those to the socket
	notRecovered string           // why it can't return
	refusal      *Error           // with which the client is refused, because it was disconnected while it was away
	overtaken    bool             // the client has returned over a later connection
	connected    bool             // the socket is connected: the client must prove first that it uses this connection
	proven       bool             // it has

	// Guarded by client.mu, while backends decide and the socket is looked for.
	cancel context.CancelFunc // ends that
	ping   uint64             // position of the ping that proves it
	pong   chan struct{}      // closed when that is answered; nil while nobody waits for it
}

const (
	// pingAtEvents is how many events wait for confirmation before the client is asked
	// for one ahead of time. So is it when half of what may be kept waits.
	pingAtEvents = 48
	// pingGap is the least time between two such pings, unless half of what may be kept
	// waits, or might before the next look. A burst of messages costs few pings then.
	pingGap = time.Second
)

// recovery is what all sessions of a node share. It is static; each part guards
// itself.
type recovery struct {
	limits     backlog.Limits
	budget     *backlog.Budget
	keys       pid.Keys
	tombstones tombstones
	gaps       atomic.Uint64 // how often the node may have missed messages of others
}

// newRecovery returns nil without options. Keys are those that all nodes share; none
// if they share none.
func newRecovery(o *RecoveryOptions, keys [][]byte) *recovery {
	if o == nil {
		return nil
	}
	return &recovery{
		limits: backlog.Limits{Events: o.MaxMessages, Bytes: int(o.MaxBytes)},
		budget: backlog.NewBudget(o.MaxNodeBytes),
		keys:   pid.NewKeys(keys),
	}
}

func newSession(r *recovery, s *socket) *session {
	return &session{secret: r.keys.Secret(s.ns.name, s.user, s.id)}
}

// openSession is called when the socket becomes a member. closeSession follows.
func (s *socket) openSession() {
	s.session.backlog = backlog.New(s.b.recovery.budget)
	s.session.gaps = s.b.recovery.gaps.Load()
	s.session.asked = s.connectTime
}

// missesMessages reports whether messages may not have reached the session because
// its node didn't receive what others sent. x.mu is held.
func (x *session) missesMessages(b *Broker) bool { return x.gap || x.gaps != b.recovery.gaps.Load() }

// pid returns what the client shows to recover the socket; empty without a session.
// It is a credential and must not be logged.
func (s *socket) pid() string {
	if s.session == nil {
		return ""
	}
	return pid.Format(s.id, s.session.secret)
}

// delivery is what became of a message for a socket.
type delivery uint8

const (
	notDelivered delivery = iota
	queued                // to its connection
	kept                  // for its return
	uncounted             // another node has counted it
	moving                // to another node or from one, which may count it or not
)

// keep sends a message to the client or, while it is away, keeps it for its return.
func (s *socket) keep(o *outgoing) delivery {
	x := s.session
	event, frame := o.recoverable()
	if x.hadEarlier(event) {
		return uncounted
	}
	x.mu.Lock()
	if o.m.record != nil {
		if d, settled := s.takeLive(o, waitingMessage{frame, event}); settled {
			x.mu.Unlock()
			return d
		}
	}
	c := s.client.Load()
	switch {
	case x.moved:
		x.mu.Unlock()
		return moving
	case x.arrival != nil && x.hasHad(s.b, event):
		x.mu.Unlock()
		return uncounted
	case x.shadow && (x.over || o.m.Volatile):
		x.mu.Unlock()
		return uncounted
	case x.over || c == nil && o.m.Volatile:
		x.mu.Unlock()
		return notDelivered
	case x.shadow:
		x.hold(s.b, o, event)
		x.mu.Unlock()
		return moving
	case c == nil:
		evicted := x.hold(s.b, o, event)
		x.mu.Unlock()
		if evicted { // nothing can make up for it
			s.giveUp()
			return notDelivered
		}
		return kept
	}
	defer x.mu.Unlock()
	position, replaced, reason := o.batch.SendNumbered(c.conn, o.toQueue(frame), o.m.Volatile)
	if replaced > 0 {
		x.backlog.Replaced(replaced)
	}
	if reason == engineio.Queued {
		x.push(s.b, o, event, position)
		if x.backlog.Len()%pingAtEvents == 0 || x.backlog.Bytes() > s.b.recovery.limits.Bytes/2 {
			x.ping(s.b, c)
		}
		return queued
	}
	if o.m.Volatile || !c.endsAfter(reason) {
		s.noteDropped(reason, 1)
		if !o.m.Volatile {
			x.gap = true
			s.b.metrics.FramesDropped(reason, 1) // the engine counts only what isn't kept
		}
		return notDelivered
	}
	x.push(s.b, o, event, position)
	return kept
}

// hadEarlier reports whether the client has received the event in an earlier session, as the
// last one. From another node it may come once more, and late. Until the client has got
// another event it still names this one when it returns, and that must not confirm what has
// come to the new session meanwhile.
func (x *session) hadEarlier(event *backlog.Event) bool {
	return x.earlier != "" && event.Offset() == x.earlier
}

// hasHad reports whether the event came before, while the session was moved: calls that
// name a socket may be sent after it. The session has come from another node. x.mu is held.
func (x *session) hasHad(b *Broker, event *backlog.Event) (had bool) {
	a := x.arrival
	if a.had == nil {
		return false
	}
	had = a.had[event.Offset()] || x.isOutdated(event)
	switch {
	case x.shadow && len(a.had) < 2*b.recovery.limits.Events: // with more, the session has lost some already
		a.had[event.Offset()] = true
	case x.shadow:
	case time.Now().After(a.hadUntil):
		a.had = nil
	}
	return had
}

// gatherAfresh forgets what a shadow has gathered.
func (x *session) gatherAfresh(r *recovery) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.backlog.Close()
	x.backlog = backlog.New(r.budget)
	clear(x.arrival.had)
	x.arrival.settled = nil
}

// isOutdated reports whether the backlog has a later event that replaces this one. The node
// that had the session before may have received both and handed over the later one, while
// the earlier one is still on its way to this node. x.mu is held.
func (x *session) isOutdated(event *backlog.Event) bool {
	f := event.Frame()
	if f == nil || f.ConflationKey() == (engineio.ConflationKey{}) {
		return false
	}
	return isSentBefore(event.Offset(), x.backlog.Newest(f.ConflationKey()))
}

// hold is push for an event that no connection gets now. It may replace an older one.
// x.mu is held.
func (x *session) hold(b *Broker, o *outgoing, event *backlog.Event) (evicted bool) {
	evicted, replaced := x.backlog.Keep(event, b.recovery.limits)
	if replaced {
		b.metrics.FramesReplaced(1)
	}
	o.held++
	return evicted
}

// push appends an event to the backlog. x.mu is held.
func (x *session) push(b *Broker, o *outgoing, event *backlog.Event, position uint64) {
	x.backlog.Push(event, position, b.recovery.limits)
	o.held++
}

// miss notes that the client misses a message that wasn't volatile.
func (s *socket) miss() {
	if x := s.session; x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.gap = true
	}
}

// endsAfter reports whether the connection is at its end, because it has ended
// already or doesn't take a frame for this reason.
func (c *client) endsAfter(reason engineio.DropReason) bool {
	return reason == engineio.DropClosed ||
		reason == engineio.DropQueueFull && c.b.opts.SlowConsumers == DisconnectSlow
}

// confirm notes that the client has received everything up to a position.
func (s *socket) confirm(c *client, position uint64) {
	x := s.session
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.client.Load() != c {
		return // the position is that of a connection which has been replaced
	}
	x.known = x.known || position >= x.connect
	x.backlog.Confirm(position)
	if !x.known { // the ping was from before CONNECT
		c.conn.Ping()
	}
	if x.backlog.Len() >= pingAtEvents || x.backlog.Bytes() > s.b.recovery.limits.Bytes/2 {
		x.ping(s.b, c)
	}
}

// ping asks the client what it has received, if that is worth a ping: when half of
// what may be kept waits, or might before the next look, or if the last one was some time
// ago. x.mu is held.
func (x *session) ping(b *Broker, c *client) {
	half := x.backlog.Len()+pingAtEvents > b.recovery.limits.Events/2 || x.backlog.Bytes() > b.recovery.limits.Bytes/2
	now := time.Now()
	if half || now.Sub(x.pinged) > pingGap {
		x.pinged = now
		c.conn.Ping()
	}
}

// endOver ends the socket as the connection c, or its client, wants it. It has no
// effect if the client has returned over another one already.
func (s *socket) endOver(c *client, why string) {
	if x := s.session; x != nil {
		x.mu.Lock()
		mine := s.client.Load() == c
		if mine {
			s.closeSession(tombstone{})
		}
		x.mu.Unlock()
		if !mine {
			return
		}
	}
	s.end(why)
}

// giveUp ends the session of a client that is away, because there is no room for
// what it would get on its return.
func (s *socket) giveUp() { s.endAs(endedByEviction, tombstone{notRecovered: notRecoveredEvicted}) }

// endedByEviction is why a socket ended whose session took too much while the
// client was away.
const endedByEviction = "session evicted"

// endedByReturn is why a socket ended whose client returned and could not get it
// back.
const endedByReturn = "not recovered"

// dropNotRecovered is how the metrics count messages that were kept for a client that
// didn't return in time.
const dropNotRecovered engineio.DropReason = "not recovered"

// closeSession keeps the client from returning, unless that is so already. If it is
// away, it is told why when it tries. session.mu is held.
func (s *socket) closeSession(end tombstone) {
	x := s.session
	if x.over {
		return
	}
	x.over = true
	missed := x.backlog.Len()
	x.backlog.Close()
	if s.client.Load() == nil {
		s.endAway()
		s.b.metrics.FramesDropped(dropNotRecovered, missed)
		s.noteDropped(dropNotRecovered, missed)
		end.secret, end.namespace, end.user = x.secret, s.ns.name, s.user
		end.notRecovered = cmp.Or(end.notRecovered, notRecoveredUnknown)
		s.b.recovery.tombstones.add(s.id, s.tombstoneHolder(), end, time.Now())
	}
}

// isConnected reports whether the socket has a connection that isn't known to end.
func (s *socket) isConnected() bool {
	c := s.client.Load()
	return c != nil && c.conn.Open()
}

// isShadow reports whether another node still has the socket.
func (s *socket) isShadow() bool {
	x := s.session
	if x == nil || s.client.Load() != nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shadow
}

// ending is how a socket is to end.
type ending struct {
	why       string
	tombstone tombstone
}

// postpone keeps the end of a shadow for when it is the socket. It returns false if
// the socket isn't a shadow. If the other node learns of the end in time, the shadow
// never becomes the socket.
func (s *socket) postpone(why string, end tombstone) bool {
	x := s.session
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.shadow && x.arrival.pending == nil {
		x.arrival.pending = &ending{why, end}
	}
	return x.shadow
}

// connectFrame encodes the packet that tells the client that the socket is
// connected.
func (s *socket) connectFrame() *engineio.Frame {
	return engineio.NewFrame(socketio.AppendConnect(nil, s.ns.name, s.id, s.pid()))
}
