package eventhub

import (
	"cmp"
	"slices"
	"sync"
)

// group is the members that share events.
type group struct {
	// Static.
	hub      *Hub
	name     string // empty for a subscription by itself
	observes bool   // its members are never asked

	mu      sync.Mutex
	members []*Subscription // replaced, never changed: routes hold it too
	pins    map[pin]*Subscription
	open    map[uint64]held // what was handed out and waits for an answer
	settled chan struct{}   // closed once nothing is left to do; nil if nobody waits for it
}

// pin is what sticks to a member: a socket, which has no namespace here since its
// id is unique, or a room.
type pin struct{ namespace, name string }

// held is an entry in the hands of a member.
type held struct {
	entry
	holder *Subscription
	// onTheWay: the holder stands for one of another node, and it isn't known
	// whether that has the entry yet.
	onTheWay bool
}

// aftermath is what is left to do without the group's lock.
type aftermath struct {
	lost []lost
	gone []*Subscription
}

type lost struct {
	entry
	reason string
}

func (a *aftermath) lose(en entry, reason string) { a.lost = append(a.lost, lost{en, reason}) }

// settle tells everybody. The caller holds no lock.
func (a *aftermath) settle(h *Hub) {
	if len(a.gone) > 0 {
		h.left(a.gone)
	}
	for _, s := range a.gone {
		if s.remote == nil {
			h.opts.Observer.SubscriptionClosed(s.err.Reason)
		}
	}
	for _, l := range a.lost {
		if l.source == nil { // else its own node sees to it
			h.opts.Observer.EventLost(l.event.Kind, l.reason)
		}
		l.tracked.settle()
		if l.question != nil {
			l.question.abandon(l.reason)
		}
	}
}

func (g *group) add(s *Subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = append(slices.Clone(g.members), s)
}

// current returns the members, which the caller must not change.
func (g *group) current() []*Subscription {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members
}

func (g *group) forget(p pin) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pins, p)
}

// enqueue queues an event for the member that it is for. A member without room
// is cut, and the event goes to a mate.
func (g *group) enqueue(en entry) {
	var after aftermath
	g.mu.Lock()
	m := g.choose(&en, false)
	if m != nil && !m.queue.fits(&en, g.hub.opts.MaxQueuedEvents, g.hub.opts.MaxQueuedBytes) {
		g.remove(m, failed(ReasonSlowSubscriber), &after)
		g.handOver(en, ReasonHandlerOverloaded, false, &after)
	} else if m != nil {
		m.push(en)
	} else { // it has just left
		after.lose(en, ReasonHandlerLost)
	}
	g.mu.Unlock()
	after.settle(g.hub)
}

// choose returns the member that gets an event, nil if none wants it. This is the
// one place that decides it. Inherited says that a lost member leaves the event:
// its socket may be forgotten since, and must not be pinned again, as nobody
// would forget it a second time. If it isn't, it is pinned to the lost member
// still. The caller holds mu.
func (g *group) choose(en *entry, inherited bool) *Subscription {
	e := en.event
	deciding := en.question != nil && en.question.decision
	key := pinOf(e)
	m, pinned := g.pins[key]
	orphaned := pinned && m.err != nil
	if !pinned || orphaned || !m.wants(e, deciding) {
		m = g.best(key, e, deciding)
	}
	switch {
	case m == nil || g.name == "" || deciding: // nobody to keep in order
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
	if e.Socket == nil {
		return pin{}
	}
	return pin{name: e.Socket.ID}
}

// best chooses among the members that want an event, of this node's if there are
// any, by rendezvous hashing: each gets its share, and what a lost member had is
// spread over all others.
func (g *group) best(key pin, e *Event, deciding bool) (best *Subscription) {
	var most uint64
	for _, m := range g.members {
		if !m.wants(e, deciding) || best != nil && best.remote == nil && m.remote != nil {
			continue
		}
		weight := key.weight(m.id)
		if best == nil || best.remote != nil && m.remote == nil || weight > most {
			best, most = m, weight
		}
	}
	return best
}

// weight hashes what is pinned together with a member: FNV-1a, and the finish of
// SplitMix64, without which the weights of neighbouring members would be alike.
func (p pin) weight(member uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [2]string{p.namespace, p.name} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h *= 1099511628211
	}
	h ^= member * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// remove ends a member; its mates take over what it leaves. The caller holds
// mu, and settles the aftermath without it.
func (g *group) remove(s *Subscription, why *Error, after *aftermath) {
	g.members = slices.DeleteFunc(slices.Clone(g.members), func(m *Subscription) bool { return m == s })
	g.release(s, why, after)
}

// release ends a member that isn't in members any more. The caller holds mu.
func (g *group) release(s *Subscription, why *Error, after *aftermath) {
	s.err = why
	close(s.done)
	s.ended()
	after.gone = append(after.gone, s)

	reason := ReasonHandlerLost
	switch why.Reason {
	case ReasonDraining:
		reason = ReasonDraining
	case ReasonSlowSubscriber:
		reason = ReasonHandlerOverloaded
	}
	for _, o := range g.heldBy(s) {
		delete(g.open, o.id)
		en := o.entry
		switch untouched := o.onTheWay && s.remote.untouched; {
		case untouched:
			g.handOver(en, reason, true, after)
		case en.question != nil && !en.question.open():
		case en.redelivered && en.tracked == nil:
			after.lose(en, reason)
		default:
			en.redelivered = true
			g.handOver(en, reason, true, after)
		}
	}
	for s.queue.count > 0 {
		g.handOver(s.queue.pop(), reason, true, after)
	}
	for key, m := range g.pins { // not before: these are not forgotten
		if m == s {
			delete(g.pins, key)
		}
	}
	g.checkSettled()
}

// heldBy returns what a member has and has not answered, oldest first. The caller
// holds mu.
func (g *group) heldBy(s *Subscription) []held {
	var all []held
	for _, o := range g.open {
		if o.holder == s {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b held) int { return cmp.Compare(a.id, b.id) })
	return all
}

// handOver queues for a mate what a lost member leaves. Half of the mate's queue
// stays free for what is its own, so that nobody is cut for what it inherits.
// Inherited is as for choose. The caller holds mu.
func (g *group) handOver(en entry, reason string, inherited bool, after *aftermath) {
	if en.source != nil { // its own node hands it over
		after.lose(en, reason)
		return
	}
	m := g.choose(&en, inherited)
	switch {
	case m == nil:
		after.lose(en, reason)
	case !m.queue.fits(&en, g.hub.opts.MaxQueuedEvents/2, g.hub.opts.MaxQueuedBytes/2):
		after.lose(en, ReasonHandlerOverloaded)
	default:
		m.push(en)
	}
}

// close forgets a question that has ended.
func (g *group) close(q *question) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o, ok := g.open[q.id]
	if !ok || o.question != q {
		return
	}
	end := ended{q.id, q.outcome()}
	if o.holder.remote != nil {
		o.holder.remote.pointless(end)
	}
	if !o.onTheWay {
		delete(g.open, q.id)
		o.holder.history.add(end)
		g.checkSettled()
	}
}

// idle returns a channel that is closed once nothing is queued and nothing waits
// for an answer.
func (g *group) idle() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.settled == nil {
		g.settled = make(chan struct{})
	}
	settled := g.settled
	g.checkSettled()
	return settled
}

// checkSettled closes settled if somebody waits for it and it is time. The caller
// holds mu.
func (g *group) checkSettled() {
	if g.settled == nil || len(g.open) > 0 {
		return
	}
	for _, m := range g.members {
		if m.queue.count > 0 {
			return
		}
	}
	close(g.settled)
	g.settled = nil
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
	after.settle(g.hub)
}
