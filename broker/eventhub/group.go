package eventhub

import (
	"cmp"
	"slices"
	"sync"

	"github.com/salabroker/sala/broker/eventhub/internal/rendezvous"
)

// group is the members that share events.
type group struct {
	// Static.
	hub      *Hub
	name     string // empty for the group of one subscription
	observes bool   // its members only observe

	mu          sync.Mutex
	members     []*Subscription // replaced, never changed: routes hold it too
	pins        map[pin]*Subscription
	outstanding map[uint64]outstanding // by the delivery's id
	drained     chan struct{}          // closed once the group is idle; nil if nobody waits for it
}

// pin is what sticks to a member: a room, or a socket. A socket has no namespace here, since its id
// is unique. A user sticks to no member, because nobody says when it is gone for good; it only has a
// pin for hashing.
type pin struct{ namespace, name string }

// outstanding is an entry that was handed to a member and waits for an answer, or for Confirm.
type outstanding struct {
	entry
	holder *Subscription
	// inFlight says that the holder is a remote, and that it isn't known yet whether the backend
	// has the entry.
	inFlight bool
}

// aftermath collects what has to happen once the group's lock is released.
type aftermath struct {
	lost []lostEntry
	gone []*Subscription
}

type lostEntry struct {
	entry
	reason string
}

func (a *aftermath) lose(en entry, reason string) { a.lost = append(a.lost, lostEntry{en, reason}) }

// finish does what was collected. The caller holds no lock.
func (a *aftermath) finish(h *Hub) {
	if len(a.gone) > 0 {
		h.removeMembers(a.gone)
	}
	for _, s := range a.gone {
		if s.remote == nil {
			h.opts.Observer.SubscriptionClosed(s.err.Reason)
		}
	}
	for _, l := range a.lost {
		if l.source == nil { // otherwise the other node hands it over
			h.opts.Observer.EventLost(l.event.Kind, l.reason)
		}
		l.tracker.finish()
		if l.question != nil {
			l.question.giveUp(l.reason)
		}
	}
}

func (g *group) add(s *Subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = append(slices.Clone(g.members), s)
}

// current returns the members. The caller must not change the slice.
func (g *group) current() []*Subscription {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members
}

func (g *group) unpin(p pin) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pins, p)
}

// enqueue queues an event for one member. A member without room ends, and another one gets the
// event.
func (g *group) enqueue(en entry) {
	var after aftermath
	g.mu.Lock()
	m := g.choose(&en, false)
	switch {
	case m == nil: // the last member has just left
		after.lose(en, ReasonHandlerLost)
	case m.accepts(&en, g.hub.opts.MaxQueuedEvents, g.hub.opts.MaxQueuedBytes):
		m.push(en)
	default:
		g.remove(m, newError(ReasonSlowSubscriber), &after)
		g.handOver(en, ReasonHandlerOverloaded, false, &after)
	}
	g.mu.Unlock()
	after.finish(g.hub)
}

// choose returns the member that gets an event, nil if no member wants it. This is the only place
// that decides it.
//
// Inherited says that the event is left by a member that has ended. Its socket may be forgotten
// since, so it isn't pinned again: no second [Hub.Forget] would remove the pin. A socket that isn't
// forgotten is still pinned to the member that has ended. The caller holds mu.
func (g *group) choose(en *entry, inherited bool) *Subscription {
	e := en.event
	deciding := en.question != nil && en.question.decision
	key := pinOf(e)
	m, pinned := g.pins[key]
	if e.Kind.ofUser() {
		m, pinned = nil, false // the pin is that of a room with the user's name
	}
	orphaned := pinned && m.err != nil
	if !pinned || orphaned || !m.wants(e, deciding) {
		m = g.best(key, e, deciding)
	}
	switch {
	case m == nil || g.name == "" || deciding || e.Kind.ofUser(): // there is no order to keep
	case e.Kind == RoomClosed:
		delete(g.pins, key)
	case (orphaned || !pinned && !inherited) && (e.Kind != RoomOpened || m.filter.kinds[RoomClosed]):
		g.pins[key] = m
	}
	return m
}

func pinOf(e *Event) pin {
	if e.Kind.ofRoom() {
		return pin{e.Namespace, e.Room}
	}
	if e.Kind.ofUser() {
		return pin{e.Namespace, e.User}
	}
	if e.Socket == nil {
		return pin{}
	}
	return pin{name: e.Socket.ID}
}

// best chooses among the members that want an event by rendezvous hashing. Members of this node
// come first.
func (g *group) best(key pin, e *Event, deciding bool) (best *Subscription) {
	var most uint64
	for _, m := range g.members {
		if !m.wants(e, deciding) || best != nil && best.remote == nil && m.remote != nil {
			continue
		}
		weight := rendezvous.Weight(key.namespace, key.name, m.id)
		if best == nil || best.remote != nil && m.remote == nil || weight > most {
			best, most = m, weight
		}
	}
	return best
}

// remove ends a member. Other members take over what it leaves. The caller holds mu, and finishes
// the aftermath without it.
func (g *group) remove(s *Subscription, why *Error, after *aftermath) {
	g.members = slices.DeleteFunc(slices.Clone(g.members), func(m *Subscription) bool { return m == s })
	g.release(s, why, after)
}

// release ends a member that isn't in members any more. The caller holds mu.
func (g *group) release(s *Subscription, why *Error, after *aftermath) {
	s.err = why
	close(s.done)
	s.notifyPeers()
	after.gone = append(after.gone, s)

	reason := ReasonHandlerLost
	switch why.Reason {
	case ReasonDraining:
		reason = ReasonDraining
	case ReasonSlowSubscriber:
		reason = ReasonHandlerOverloaded
	}
	for _, o := range g.heldBy(s) {
		delete(g.outstanding, o.id)
		en := o.entry
		switch {
		case o.inFlight && s.remote.undelivered:
			g.handOver(en, reason, true, after)
		case en.question != nil && !en.question.open():
		case en.redelivered && en.tracker == nil:
			after.lose(en, reason)
		default:
			en.redelivered = true
			g.handOver(en, reason, true, after)
		}
	}
	for s.queue.count > 0 {
		g.handOver(s.queue.pop(), reason, true, after)
	}
	s.unreserve()
	for key, m := range g.pins { // last: choose needs to see which sockets are still known
		if m == s {
			delete(g.pins, key)
		}
	}
	g.checkIdle()
}

// heldBy returns what a member was handed and still owes, oldest first. The caller holds mu.
func (g *group) heldBy(s *Subscription) []outstanding {
	var all []outstanding
	for _, o := range g.outstanding {
		if o.holder == s {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b outstanding) int { return cmp.Compare(a.id, b.id) })
	return all
}

// handOver queues for another member what a member leaves that has ended. It fills only half of the
// other member's queue, so that no member ends because of what it takes over. Inherited is as for
// choose. The caller holds mu.
func (g *group) handOver(en entry, reason string, inherited bool, after *aftermath) {
	if en.source != nil { // the other node hands it over
		after.lose(en, reason)
		return
	}
	m := g.choose(&en, inherited)
	switch {
	case m == nil:
		after.lose(en, reason)
	case !m.accepts(&en, g.hub.opts.MaxQueuedEvents/2, g.hub.opts.MaxQueuedBytes/2):
		after.lose(en, ReasonHandlerOverloaded)
	default:
		m.push(en)
	}
}

// questionEnded notes that a question needs no answer any more.
func (g *group) questionEnded(q *question) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o, ok := g.outstanding[q.id]
	if !ok || o.question != q {
		return
	}
	end := endedQuestion{q.id, q.outcome()}
	if o.holder.remote != nil {
		o.holder.remote.questionEnded(end)
	}
	if !o.inFlight {
		delete(g.outstanding, q.id)
		o.holder.history.add(end)
		g.checkIdle()
	}
}

// idle returns a channel that is closed once nothing is queued and nothing is outstanding.
func (g *group) idle() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drained == nil {
		g.drained = make(chan struct{})
	}
	drained := g.drained
	g.checkIdle()
	return drained
}

// checkIdle closes drained if the group is idle and somebody waits for it. The caller holds mu.
func (g *group) checkIdle() {
	if g.drained == nil || len(g.outstanding) > 0 {
		return
	}
	for _, m := range g.members {
		if m.queue.count > 0 {
			return
		}
	}
	close(g.drained)
	g.drained = nil
}

// end ends all members.
func (g *group) end(why *Error) {
	var after aftermath
	g.mu.Lock()
	members := g.members
	g.members = nil
	clear(g.pins)
	for _, s := range members {
		g.release(s, why, &after)
	}
	g.mu.Unlock()
	after.finish(g.hub)
}
