package broker

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/backlog"
	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
	"github.com/salabroker/sala/broker/pid"
)

// A client may return at any node. That node takes the session over from the one
// that has it, in three steps, so that nothing is lost and nothing comes twice:
//
//  1. The owner describes the session, and lets go of the client's connection.
//     From now on the session only gathers.
//  2. The new node makes a shadow of the socket, a member of the same rooms that
//     gathers too, and waits until it receives what is sent to them.
//  3. The owner hands over what it has gathered, if the session is still in the
//     rooms for which the new node is ready. What both have gathered is recognised
//     by the messages' identities.
//
// Whatever was sent before step 2 is over has reached the owner before the request
// of step 3: one Redis server keeps the order, and for several the new node waits
// for a sign on each. What the owner itself was sending then has reached its sockets,
// for which it waits before it hands over. Whatever was sent after it reaches the new node, some of it
// maybe late, so the new node knows for a while what the owner had.
//
// A node that drains offers its sessions to others, which take them over in the same
// way. handover.go is the owner's side.

const (
	// maxTakeOvers bounds how often a node tries to take over a session that others
	// take over, too.
	maxTakeOvers = 5
	// maxRoomChanges bounds how often a session may change its rooms during a
	// take-over.
	maxRoomChanges = 10
	// takeOversAtOnce is how many of the sessions that were offered in one call a node
	// takes over at the same time.
	takeOversAtOnce = 16
	// lateTime is how long messages may be on their way to a node that others have got.
	lateTime = 10 * time.Second
)

// takeOvers are the sessions that this node is taking over. A session is taken over
// once at a time.
type takeOvers struct {
	slots chan struct{} // holds a token for each take-over that has begun

	mu   sync.Mutex
	busy map[string]chan struct{} // by socket id; closed at the end
}

// maxTakingOver bounds the take-overs of a node at the same time. The others wait.
const maxTakingOver = 64

func newTakeOvers() *takeOvers {
	return &takeOvers{slots: make(chan struct{}, maxTakingOver), busy: make(map[string]chan struct{})}
}

// begin waits until nobody else takes the session over and there is a place, and
// returns what ends this take-over. ok is false if ctx ends first.
func (t *takeOvers) begin(ctx context.Context, socket string) (end func(), ok bool) {
	done := make(chan struct{})
	for {
		t.mu.Lock()
		other, busy := t.busy[socket]
		if !busy {
			t.busy[socket] = done
		}
		t.mu.Unlock()
		if !busy {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, false
		}
	}
	leave := func() {
		t.mu.Lock()
		delete(t.busy, socket)
		t.mu.Unlock()
		close(done)
	}
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots; leave() }, true
	case <-ctx.Done():
		leave()
		return nil, false
	}
}

// await waits until nobody takes the session over, or ctx ends.
func (t *takeOvers) await(ctx context.Context, socket string) {
	t.mu.Lock()
	other, busy := t.busy[socket]
	t.mu.Unlock()
	if !busy {
		return
	}
	select {
	case <-other:
	case <-ctx.Done():
	}
}

// any reports whether this node is taking a session over.
func (t *takeOvers) any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.busy) > 0
}

// takeOverFor says for whom a session is taken over: for its client, or because a node
// has offered it.
type takeOverFor struct {
	offeredBy cluster.NodeID // empty if the client asks
	asked     time.Time      // when the client has asked to return
	proven    bool           // it has proven that it uses its connection
}

// takeOver makes this node the owner of a session of another node, or finds that it
// is the owner already, and numbers the client's return. If ctx ends, what the owner
// hands over already is taken all the same.
func (b *Broker) takeOver(ctx context.Context, key *wire.SessionKey, reason takeOverFor) (s *socket, number uint64, why absence) {
	ns, ok := b.namespaces[key.GetNamespace()]
	if !ok || b.recovery == nil {
		return nil, 0, absent
	}
	end, ok := b.takingOver.begin(ctx, key.GetSocket())
	if !ok {
		return nil, 0, absence{notRecovered: notRecoveredNodeLost}
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, 2*callTimeout))
	defer cancel()
	for range maxTakeOvers {
		s, why, found := b.localSession(ns, key)
		if found && s != nil && reason.offeredBy == "" {
			if s.isConnected() && !reason.proven {
				return nil, 0, absence{connected: true}
			}
			number = s.session.countReturn(reason.asked, reason.proven)
		}
		if found {
			return s, number, why
		}
		owner, described, why := b.findSession(ctx, key, reason)
		if described == nil {
			return nil, 0, why
		}
		s = b.newShadow(ns, key, described)
		if err := s.enterShadow(described.GetSocket().GetRooms()); err != nil {
			return nil, 0, absence{notRecovered: notRecoveredEvicted}
		}
		take := &wire.TakeSession{
			Key: key, Offered: reason.offeredBy != "", Rooms: described.GetSocket().GetRooms(), Returns: described.GetReturns(),
		}
		state := b.takeFrom(ctx, owner, take, s)
		if session := state.GetSession(); session != nil {
			b.movedSockets.set(s.id, "") // first, so that nobody is sent elsewhere with what comes from now on
			s.becomeOwner(owner, described, session)
			if home := cluster.OwnerOf(s.id); home != owner && string(home) != b.id {
				b.tellMoved(&wire.SessionMoved{Socket: s.id, Node: b.id})
			}
			return s, session.GetReturns(), absence{}
		}
		s.leaveShadow() // another node was faster, or the session has ended
		if state.GetAbsent().GetOvertaken() {
			return nil, 0, absence{overtaken: true}
		}
	}
	return nil, 0, absence{notRecovered: notRecoveredNodeLost}
}

// barrier is an operation that does nothing, and is answered.
var barrier = encode(&wire.Op{Op: &wire.Op_Barrier{Barrier: &wire.Barrier{}}})

// takeFrom has the owner hand a session over to its shadow. It returns what the owner
// says, which is nil without an answer, or if this node can't get ready for it.
func (b *Broker) takeFrom(ctx context.Context, owner cluster.NodeID, take *wire.TakeSession, s *socket) *wire.SessionState {
	for range maxRoomChanges {
		state := b.takeWhenReady(ctx, owner, take, s)
		changed := state.GetChanged()
		if changed == nil {
			return state
		}
		rooms := changed.GetSocket().GetRooms()
		s.changeRooms(take.GetRooms(), rooms)
		take.Rooms = rooms
	}
	return nil
}

// takeWhenReady has the owner hand a session over once this node receives what is sent
// to the socket and its rooms, and the owner has what was sent to them before.
func (b *Broker) takeWhenReady(ctx context.Context, owner cluster.NodeID, take *wire.TakeSession, s *socket) *wire.SessionState {
	topics := append(s.topics(), roomTopics(s.ns.name, take.GetRooms())...)
	release, err := b.subscribeTopics(waitAtMost(ctx, subscribeTimeout), topics...)
	defer release()
	if err != nil || !b.awaitRecords(ctx) {
		return nil
	}
	settle := func() bool {
		gathered := s.session.gathered()
		err := b.mesh.AwaitOrder(ctx, waitAtMost(ctx, subscribeTimeout), owner, topics, barrier)
		if err != nil || ctx.Err() != nil {
			return false
		}
		s.session.settle(gathered)
		return true
	}
	ready := settle()
	if !ready {
		return nil
	}
	// The client may go from now on. What the owner hands over mustn't get lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
	defer cancel()
	take.Attempt = rand.Uint64() //nolint:gosec // it only tells attempts apart
	return b.askForSession(ctx, owner, take, time.Time{}, func() { settle() })
}

// gathered returns the offsets of what a shadow has gathered; nil if that is nothing.
func (x *session) gathered() map[string]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.backlog.Len() == 0 {
		return nil
	}
	offsets := make(map[string]bool, x.backlog.Len())
	x.backlog.All(func(e *backlog.Event) { offsets[e.Offset()] = true })
	return offsets
}

// settle notes what the owner of a shadow's session has before it is asked to hand over, unless it
// has missed it.
func (x *session) settle(offsets map[string]bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.arrival.settled = offsets
}

// changeRooms takes the shadow from the rooms that its owner had to those that it has
// now. What has changed for the shadow meanwhile stays so: the owner may learn of it
// too late.
//
// In a room that the owner has left, the shadow may have gathered what isn't for the client. So
// it begins afresh then: the owner has whatever was sent before the next sign.
func (s *socket) changeRooms(from, to []string) {
	var left []string
	for _, room := range from {
		if !slices.Contains(to, room) {
			left = append(left, room)
		}
	}
	s.checkNotTaken(s.ns.index.Leave(s, left...))
	_, _ = s.ns.index.Join(s, to...) // as many as the owner allowed, or the owner refuses once more
	if len(left) > 0 {
		s.session.gatherAfresh(s.b.recovery)
	}
}

// newShadow returns a socket as another node describes it.
func (b *Broker) newShadow(ns *namespace, key *wire.SessionKey, described *wire.Session) *socket {
	d := socketwire.From(described.GetSocket())
	s := &socket{
		b:           b,
		ns:          ns,
		id:          key.GetSocket(),
		user:        key.GetUser(),
		auth:        d.Auth,
		connectTime: d.ConnectTime,
		claims:      b.keepClaims(claimsFromWire(key.GetUser(), described.GetClaims())),
		session:     &session{earlier: described.GetEarlierOffset(), shadow: true},
	}
	s.session.secret, _ = pid.SecretFrom(key.GetSecret())
	now := time.Now()
	s.session.arrival = &arrival{moves: d.Moves + 1, at: now.UnixNano(), had: make(map[string]bool), hadUntil: now.Add(lateTime)}
	s.moving.Store(true)
	d.Node, d.Rooms, d.Away = b.id, nil, true
	d.Moves, d.TakenOverUnixNs = s.session.arrival.moves, s.session.arrival.at
	s.described.Store(d)
	s.showData(d.Data)
	s.setHistoryMarks(described.GetHistoryMarks())
	return s
}

// enterShadow makes the shadow a member.
func (s *socket) enterShadow(rooms []string) error {
	err := s.ns.index.Add(s, rooms, s.openSession)
	if err == nil {
		s.b.subscribeSocket(s)
	}
	return err
}

// leaveShadow takes a shadow back that has not become a socket.
func (s *socket) leaveShadow() {
	x := s.session
	x.mu.Lock()
	x.over = true
	x.backlog.Close()
	x.mu.Unlock()
	s.gone.Store(true)
	rooms, _ := s.ns.index.Remove(s)
	s.b.unsubscribeSocket(s)
	s.checkNotTaken(rooms)
}

// becomeOwner makes a shadow the socket, which is away. The owner described it first, and
// then has handed it over.
func (s *socket) becomeOwner(before cluster.NodeID, described, w *wire.Session) {
	s.takePresence(w)
	s.mu.Lock()
	if !sameClaims(described.GetClaims(), w.GetClaims()) {
		s.claims = s.b.keepClaims(claimsFromWire(s.user, w.GetClaims()))
	}
	if !s.updated { // otherwise it is newer
		s.updated = w.GetDataUpdated()
		s.showData(w.GetSocket().GetData())
	}
	s.mu.Unlock()

	x, r := s.session, s.b.recovery
	x.mu.Lock()
	x.takeEvents(r, w)
	x.shadow, x.known, x.returns = false, true, w.GetReturns()
	x.asked = time.Now().Add(-time.Duration(w.GetAskedAgoUs()) * time.Microsecond)
	s.startWindow(time.Duration(w.GetWindowMs())*time.Millisecond, w.GetLostReason())
	pending := x.arrival.pending
	s.b.forwarder.TakeOver(s.id, w.GetEventsHandover())
	s.b.lastWill.TakenOver(before, s.describe())
	x.mu.Unlock()
	s.publishRoomChanges(w.GetSocket().GetRooms())
	s.changePresence(w.GetSocket().GetRooms(), s.ns.index.RoomsOf(s))
	s.startExpiry()
	if pending != nil {
		s.endAs(pending.why, pending.tombstone)
	}
	s.checkRevoked()
}

// takeEvents gives a shadow what the owner had, and after that what it has gathered itself, unless
// the owner had it. x.mu is held.
func (x *session) takeEvents(r *recovery, w *wire.Session) {
	a := x.arrival
	if len(w.GetHistoryMarks()) > 0 {
		a.settled = nil // the client may have got some by the answer of a join, which no session keeps
	}
	gathered := x.backlog
	x.backlog = backlog.New(r.budget)
	known := make(map[string]bool, len(w.GetEvents()))
	newest := make(map[string]string) // offset of the last event that the owner had from a node
	for _, e := range w.GetEvents() {
		known[e.GetOffset()] = true
		if node := senderOf(e.GetOffset()); newest[node] == "" || isSentBefore(newest[node], e.GetOffset()) {
			newest[node] = e.GetOffset()
		}
		event := r.budget.NewEvent(e.GetOffset(), frameFromWire(e))
		x.backlog.Push(event, 0, r.limits)
		event.Held(1)
	}
	gathered.All(func(e *backlog.Event) {
		switch offset := e.Offset(); {
		case known[offset] || x.isOutdated(e):
		case a.settled[offset] && isSentBefore(offset, newest[senderOf(offset)]):
			x.gap = true // the owner has missed it, and it can't come after what was sent later
		default:
			known[offset] = true // it may have come in several ways
			x.backlog.Keep(e, r.limits)
			e.Held(1)
		}
	})
	if offset := gathered.Evicted(); offset != "" && !known[offset] {
		x.backlog.Evict(offset)
	}
	gathered.Close()
	maps.Copy(a.had, known)
	a.hadUntil = time.Now().Add(lateTime)
	if offset := w.GetEvictedOffset(); offset != "" && x.backlog.Complete() {
		x.backlog.Evict(offset)
	}
	a.settled = nil
	x.gap = x.gap || w.GetIncomplete()
}

// publishRoomChanges publishes the rooms that the socket has joined or left since the
// other node had it, and from now on each as it happens.
func (s *socket) publishRoomChanges(before []string) {
	s.ns.index.See(s, func(rooms []string) {
		for _, room := range rooms {
			if !slices.Contains(before, room) {
				s.ns.publishMember(eventhub.Join, s, room)
			}
		}
		for _, room := range before {
			if !slices.Contains(rooms, room) {
				s.ns.publishMember(eventhub.Leave, s, room)
			}
		}
		s.moving.Store(false)
	})
}

func frameFromWire(e *wire.SessionEvent) *engineio.Frame {
	if len(e.GetText()) == 0 {
		return nil
	}
	return engineio.NewKeptFrame(e.GetText(), e.GetAttachments()...).Conflate(conflationFromWire(e.GetConflation()))
}

// applyOffer takes over sessions that a node offers.
func (b *Broker) applyOffer(ctx context.Context, from cluster.NodeID, o *wire.OfferSessions) *wire.Count {
	if b.draining.Load() {
		return &wire.Count{}
	}
	var taken sync.Map
	var running sync.WaitGroup
	next := make(chan *wire.SessionKey)
	for range takeOversAtOnce {
		running.Go(func() {
			for key := range next {
				if s, _, _ := b.takeOver(ctx, key, takeOverFor{offeredBy: from}); s != nil {
					taken.Store(key.GetSocket(), true)
				}
			}
		})
	}
	for _, key := range o.GetKeys()[:min(len(o.GetKeys()), offerBatch)] {
		next <- key
	}
	close(next)
	running.Wait()
	n := 0
	taken.Range(func(any, any) bool { n++; return true })
	return countOf(n)
}
