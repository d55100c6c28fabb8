package broker

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
)

// A node hands a session over when another one asks for it, because the client has
// returned there, or because this node drains and has offered the session. takeover.go
// is the other side.

const (
	// offerBatch is how many sessions are offered in one call.
	offerBatch = 64
	// maxOffers is how often sessions are offered without success once no client is
	// connected any more.
	maxOffers = 10
	// offerPause is the time between two looks for sessions that can be offered.
	offerPause = 20 * time.Millisecond
	// maxFlush is how long a hand-over waits until backends can get the socket's events
	// in order.
	maxFlush = 250 * time.Millisecond
	// keepAnswer is how long a node keeps what it has handed over, for the case that the
	// answer was lost.
	keepAnswer = 5 * time.Second
)

// applyTakeSession describes a session or hands it over to another node.
func (b *Broker) applyTakeSession(ctx context.Context, to cluster.NodeID, t *wire.TakeSession) *wire.SessionState {
	ns, ok := b.namespaces[t.GetKey().GetNamespace()]
	if !ok || b.recovery == nil {
		return absent.toWire()
	}
	s, why, found := b.localSession(ns, t.GetKey())
	if s != nil && s.isShadow() && t.GetPrepare() {
		// The node whose session this node takes over may be gone a moment later. Waiting
		// can't go in circles: nobody waits for what a node asks with a shadow at hand.
		b.takingOver.await(ctx, s.id)
		s, why, found = b.localSession(ns, t.GetKey())
	}
	node := b.sessionAt(t.GetKey().GetSocket())
	switch {
	case s != nil && (s.isShadow() || t.GetOffered() && s.client.Load() != nil):
		return absent.toWire() // its owner has it
	case s != nil && t.GetPrepare():
		state := s.describeSession(t)
		_ = b.awaitRecords(ctx) // otherwise a message may come twice
		return state
	case s != nil && b.sending.Await(ctx) != nil:
		return absence{notRecovered: notRecoveredNodeLost}.toWire()
	case s != nil:
		state := s.handOver(to, t)
		if w := state.GetSession(); w != nil {
			s.handOverPresence(to, w)
			b.handedOver.keep(t, w)
			_ = b.awaitRecords(ctx)                  // otherwise the client may have what the history has later
			s.b.forwarder.Flush(ctx, maxFlush, s.id) // otherwise events may overtake each other, but nothing is lost
		}
		return state
	case found:
		return why.toWire()
	case b.handedOver.again(t) != nil:
		return &wire.SessionState{State: &wire.SessionState_Session{Session: b.handedOver.again(t)}}
	case node != "":
		return &wire.SessionState{State: &wire.SessionState_MovedTo{MovedTo: string(node)}}
	case b.movedSockets.lost(t.GetKey().GetSocket()):
		return absence{notRecovered: notRecoveredNodeLost}.toWire()
	}
	return absent.toWire()
}

// handOvers are the sessions that this node has handed over a moment ago. If the answer
// is lost, the other node asks again.
type handOvers struct {
	mu        sync.Mutex
	byAttempt map[uint64]handedOver
	order     []keptAnswer // oldest first
}

type handedOver struct {
	socket  string
	session *wire.Session
}

// keptAnswer says until when an answer is kept.
type keptAnswer struct {
	attempt uint64
	until   time.Time
}

// keep keeps the answer to a request for a while.
func (h *handOvers) keep(t *wire.TakeSession, w *wire.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byAttempt == nil {
		h.byAttempt = make(map[uint64]handedOver)
	}
	h.byAttempt[t.GetAttempt()] = handedOver{t.GetKey().GetSocket(), w}
	h.order = append(h.order, keptAnswer{t.GetAttempt(), time.Now().Add(keepAnswer)})
	if len(h.order) == 1 {
		time.AfterFunc(keepAnswer, h.forget)
	}
}

// forget forgets the answers that needn't be kept any longer, and comes back for the others.
func (h *handOvers) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, old := time.Now(), 0
	for old < len(h.order) && !now.Before(h.order[old].until) {
		delete(h.byAttempt, h.order[old].attempt)
		old++
	}
	h.order = h.order[old:]
	if len(h.order) > 0 {
		time.AfterFunc(max(time.Until(h.order[0].until), keepAnswer/10), h.forget)
	}
}

// again returns the answer to a request that has been answered before; nil if it hasn't.
func (h *handOvers) again(t *wire.TakeSession) *wire.Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if kept := h.byAttempt[t.GetAttempt()]; !t.GetPrepare() && kept.socket == t.GetKey().GetSocket() {
		return kept.session
	}
	return nil
}

// describeSession describes the session for a node that wants to take it over. Unless it
// was offered, its client has returned there, so that its connection here ends.
func (s *socket) describeSession(t *wire.TakeSession) *wire.SessionState {
	x := s.session
	var number uint64
	if !t.GetOffered() {
		if s.isConnected() && !t.GetProven() {
			return absence{connected: true}.toWire()
		}
		number = x.countReturn(time.Now().Add(-time.Duration(t.GetAskedAgoUs())*time.Microsecond), t.GetProven())
		if number == 0 {
			return absence{overtaken: true}.toWire()
		}
		if old := s.leaveFor(number); old != nil {
			old.release(s)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	w := s.sessionToWire(s.ns.index.RoomsOf(s))
	w.Returns = cmp.Or(number, x.returns)
	return &wire.SessionState{State: &wire.SessionState_Session{Session: w}}
}

// handOver hands the session over if it is in these rooms and its client hasn't
// returned over another connection, and the socket leaves this node.
func (s *socket) handOver(to cluster.NodeID, t *wire.TakeSession) *wire.SessionState {
	rooms := t.GetRooms()
	x := s.session
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.returns != t.GetReturns() {
		return absence{overtaken: true}.toWire()
	}
	s.b.movedSockets.set(s.id, to) // first, so that whoever doesn't find it here learns where it is
	others, ok := s.removeFrom(rooms)
	if !ok {
		s.b.movedSockets.set(s.id, "")
		// The rooms are others, or the socket is about to end. The next attempt finds out.
		return &wire.SessionState{State: &wire.SessionState_Changed{Changed: &wire.Session{Socket: &wire.Socket{Rooms: others}}}}
	}
	w := s.sessionToWire(rooms)
	x.backlog.All(func(e *backlog.Event) {
		event := &wire.SessionEvent{Offset: e.Offset()}
		if f := e.Frame(); f != nil {
			event.Text, event.Attachments = f.Message()
			event.Conflation = conflationToWire(f.ConflationKey())
		}
		w.Events = append(w.Events, event)
	})
	w.EvictedOffset, w.Incomplete = x.backlog.Evicted(), x.missesMessages(s.b)
	w.LostReason = x.away.why
	s.b.departures.add(departure{namespace: s.ns.name, socket: s.id, user: s.user, rooms: rooms, node: to})
	x.over, x.moved = true, true
	x.backlog.Close()
	s.endAway()
	s.b.unsubscribeSocket(s)
	s.stopExpiry()
	w.EventsHandover = s.forgetHere(to)
	s.b.log.Debug("socket handed over", "socket", s.id, "namespace", s.ns.name, "user", s.user, "node", string(to))
	return &wire.SessionState{State: &wire.SessionState_Session{Session: w}}
}

// removeFrom takes the socket out of the index if its client is away and if it is in
// exactly these rooms; otherwise it returns the rooms. The session's mu is held.
func (s *socket) removeFrom(rooms []string) (others []string, ok bool) {
	x := s.session
	if x.over || x.shadow || s.client.Load() != nil || !s.gone.CompareAndSwap(false, true) {
		return rooms, false
	}
	s.moving.Store(true) // the rooms don't end for the client
	others, ok = s.ns.index.RemoveFrom(s, rooms)
	if !ok {
		s.moving.Store(false)
		s.gone.Store(false)
	}
	return others, ok
}

// forgetHere ends the socket's events at this node, and returns what the other one needs
// to go on with them.
func (s *socket) forgetHere(to cluster.NodeID) *wire.EventHandover {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.endPublished = true // no event follows here
	handover := s.b.forwarder.HandOver(s.id)
	s.b.events.Forget(s.id)
	s.b.lastWill.HandedOver(to, s.describe())
	return handover
}

// sessionToWire describes the socket and its session, without what it has gathered. The
// session's mu is held.
func (s *socket) sessionToWire(rooms []string) *wire.Session {
	d := *s.describe()
	d.Rooms = rooms
	s.mu.Lock()
	if s.session.described == nil { // a session is described when it is looked for, and when it is handed over
		held := s.claims.of(s.user)
		s.session.described = claimsToWire(&held)
	}
	claims, updated := s.session.described, s.updated
	s.mu.Unlock()
	w := &wire.Session{Socket: socketwire.To(&d), Claims: claims, DataUpdated: updated}
	if s.session.away != nil {
		w.WindowMs = time.Until(s.session.away.deadline).Milliseconds()
	}
	w.Returns = s.session.returns
	w.AskedAgoUs = time.Since(s.session.asked).Microseconds()
	w.HistoryMarks = s.historyMarks(rooms)
	w.EarlierOffset = s.session.earlier
	return w
}

// outlives reports whether sessions outlive a connection that ended for this
// reason. They don't if the client broke the rules, or if the node ends and no other
// node can take them over.
func (b *Broker) outlives(reason engineio.Reason) bool {
	switch reason {
	case engineio.ReasonParseError, engineio.ReasonMessageTooLarge, engineio.ReasonRateLimited:
		return false
	}
	return !b.draining.Load() || len(b.sessionSuccessors()) > 0
}

// sessionSuccessors returns the other nodes that can take sessions over.
func (b *Broker) sessionSuccessors() (nodes []cluster.NodeID) {
	if b.mesh == nil || b.recovery == nil || b.Isolated() {
		return nil
	}
	for _, other := range b.mesh.Nodes()[1:] {
		if !other.Draining {
			nodes = append(nodes, other.ID)
		}
	}
	return nodes
}

// offerSessions offers the sessions of clients that are away to other nodes, while
// the node drains. It returns when the clients are gone, and no session is left or no
// node takes one, or when stopOffers is closed.
func (b *Broker) offerSessions() {
	ctx := doneContext(b.stopOffers)
	pause := time.NewTicker(offerPause)
	defer pause.Stop()
	for refused := 0; refused < maxOffers; {
		last := false
		select {
		case <-b.clientsGone:
			last = true
		default:
		}
		busy := b.takingOver.any() // first: what they have taken over is away then
		keys := b.sessionsAway()
		taken := b.offerTo(ctx, b.sessionSuccessors(), keys)
		switch {
		case last && len(keys) == 0 && !busy:
			return
		case last && !taken && !busy:
			refused++
		}
		select {
		case <-pause.C:
		case <-b.stopOffers:
			return
		}
	}
}

// offerTo offers sessions to nodes, each to one of them, and reports whether any were
// taken.
func (b *Broker) offerTo(ctx context.Context, successors []cluster.NodeID, keys []*wire.SessionKey) (taken bool) {
	for i := 0; len(keys) > 0 && len(successors) > 0; i++ {
		n := min(len(keys), offerBatch)
		var c wire.Count
		op := &wire.Op{Op: &wire.Op_OfferSessions{OfferSessions: &wire.OfferSessions{Keys: keys[:n]}}}
		if err := b.callNode(ctx, successors[i%len(successors)], op, &c, errNotRecovered); err == nil && c.GetMatched() > 0 {
			taken = true
		}
		keys = keys[n:]
	}
	return taken
}

// sessionsAway returns the keys of the sessions whose clients are away.
func (b *Broker) sessionsAway() (keys []*wire.SessionKey) {
	for _, ns := range b.namespaces {
		if ns.away.Load() == 0 {
			continue
		}
		for _, s := range ns.index.Select(nil, Target{Everyone: true}) {
			if _, away := s.isAway(); away {
				keys = append(keys, s.key())
			}
		}
	}
	return keys
}

func (s *socket) key() *wire.SessionKey {
	return &wire.SessionKey{Socket: s.id, Secret: s.session.secret[:], Namespace: s.ns.name, User: s.user}
}
