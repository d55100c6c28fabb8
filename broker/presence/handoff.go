package presence

import (
	"cmp"
	"container/heap"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

const (
	// keepHanded is how long it is remembered which users were handed over to which node: longer than
	// it takes to notice that the node is lost.
	keepHanded = time.Minute
	// maxHanded bounds how many are.
	maxHanded = 20_000
	// keepPassed is how long a node that ends tells another one that it has passed a user on: longer than
	// the node takes that asked about the user.
	keepPassed = 2 * time.Second
	// answerPatience is how long a node that is about to end waits for the answers to a question before
	// it hands it over.
	answerPatience = 100 * time.Millisecond
	// handOverIn is how long it takes to hand users over, if the first node doesn't answer.
	handOverIn = 150 * time.Millisecond
)

// handed says which node has taken over the last session of a user in a place, and when.
type handed struct {
	to string
	at time.Time
}

// HandedOver says that another node has taken over a session of a user in a place. If this node has
// yet to find out whether to announce that the user has come, so has the other one: then since is
// when the user came, and otherwise it is 0. Clock is this node's. Both are for TakenOver.
func (t *Tracker) HandedOver(p Place, to string) (since, clock int64) {
	local, now := t.opts.Local(p), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[p]
	if r != nil && r.phase == coming {
		since = r.time
	}
	switch {
	case since != 0 && local != Present && !r.gone:
		lost := r.lost
		if r = t.add(p, leaving, now); r != nil { // what this node knows
			r.inherited, r.onBehalf = true, lost
			if r.lastPassed <= r.lastLeft {
				to = "" // if it is lost, nobody has to find out
			}
			t.pass(r, to)
		}
		return since, t.clock.next()
	case since != 0:
		return since, t.clock.next()
	case local == Present:
		return 0, t.clock.next()
	case r == nil || !r.isUnsettled() || r.phase == coming && !r.gone:
		if r = t.add(p, leaving, now); r != nil {
			t.pass(r, to) // the other node says so only a moment later
		}
	}
	if since := now.Sub(t.swept); since > keepHanded || since > time.Second && len(t.handed) >= maxHanded {
		t.swept = now
		maps.DeleteFunc(t.handed, func(_ Place, h handed) bool { return now.Sub(h.at) > keepHanded })
	}
	if len(t.handed) < maxHanded {
		t.handed[p] = handed{to, now}
	}
	return 0, t.clock.next()
}

// TakenOver says that this node takes over a session of a user in a place from another node, where
// HandedOver has returned since and clock. It is called while the session is still [Moving] here.
func (t *Tracker) TakenOver(p Place, since, clock int64) {
	local := t.opts.Local(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.see(max(since, clock))
	r := t.records[p]
	switch {
	case r == nil && local == Present: // everybody knows that the user is here
	case r != nil && r.phase == coming: // it goes on
		if since == 0 {
			r.lastPassed = max(r.lastPassed, clock)
			t.depositReturned(r)
		}
		return
	case since != 0 && (r == nil || !r.isUnsettled() || r.inherited):
		t.add(p, coming, time.Now()) // later than what others have asked about meanwhile
		return
	case r != nil && r.isUnsettled(): // it was announced that the user has come
		t.remove(r)
	}
	t.opts.Deposit(p, true)
}

// NotTaken says that this node doesn't get the last session of a user in a place that it was taking over.
// Other nodes may have relied on it meanwhile, so it finds out whether the user has left.
func (t *Tracker) NotTaken(p Place) { t.inherit(p, 0, time.Now(), false) }

// NodeLost says that a node was lost, maybe before it had deposited users whom this node has handed
// over or passed on to it.
func (t *Tracker) NodeLost(node string) {
	t.mu.Lock()
	var lost []Place
	for p, h := range t.handed {
		if h.to == node {
			lost = append(lost, p)
			delete(t.handed, p)
		}
	}
	for p, r := range t.records {
		if r.phase == passed && r.to == node {
			lost = append(lost, p)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(lost, Place.Compare) // so that the same events have the same outcome
	lost = slices.Compact(lost)
	for _, p := range lost {
		t.Lost(p)
	}
}

// Lost says that a node was lost that had a user in a place. This node finds out whether the user has
// left.
func (t *Tracker) Lost(p Place) { t.inherit(p, 0, time.Now(), true) }

// Adopt takes over from another node, which is about to end, users whom it awaits. It returns false
// if this node is about to end, too.
func (t *Tracker) Adopt(l *wire.AdoptLeaves) bool {
	t.mu.Lock()
	closing := t.closing
	t.mu.Unlock()
	if closing {
		return false
	}
	now := time.Now()
	for _, w := range l.GetAnnounced() {
		t.remember(w)
	}
	for _, w := range l.GetLeaves() {
		wait := min(max(time.Duration(w.GetWaitMs())*time.Millisecond, 0), t.opts.Window)
		t.inherit(PlaceFrom(w.GetPlace()), w.GetLeftTime(), now.Add(wait), w.GetOnBehalf())
	}
	return true
}

// inherit makes this node find out, when it is due, whether a user has left that another node had, at
// leftTime or later; that is 0 if it isn't known. OnBehalf says that the other node was lost.
func (t *Tracker) inherit(p Place, leftTime int64, due time.Time, onBehalf bool) {
	local := t.opts.Local(p)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.see(leftTime)
	r := t.records[p]
	switch {
	case r != nil && r.phase == coming:
		r.lost = r.lost || onBehalf
		r.lastPassed = max(r.lastPassed, leftTime)
		t.depositReturned(r)
		return
	case r == nil:
	case r.phase != left:
		if r.phase == waiting && r.at.After(due) {
			due = r.at
		}
		t.stillThere(r)
		_, last := r.lastTimes()
		leftTime, onBehalf = max(leftTime, last), onBehalf || r.onBehalf
	case r.rejoined == 0 && leftTime <= r.time: // announced
		return
	}
	if local == Present {
		return
	}
	if added := t.addLeave(p, due, now); added != nil {
		added.inherited, added.onBehalf, added.leftThere = true, onBehalf, leftTime
	}
}

// remember notes what a node that is about to end knows about a user who has left a short while ago.
func (t *Tracker) remember(w *wire.AnnouncedLeave) {
	p := PlaceFrom(w.GetPlace())
	local := t.opts.Local(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.see(max(w.GetLeftTime(), w.GetPassedTime()))
	r := t.records[p]
	if r == nil {
		if local == Present { // the user is back
			return
		}
		if r = t.add(p, leaving, time.Now()); r == nil {
			return
		}
		r.time, r.lastPassed = w.GetPassedTime(), w.GetPassedTime()
		if w.GetLeftTime() != 0 {
			r.time, r.rejoined = w.GetLeftTime(), w.GetRejoinedTime()
			t.retain(r, left)
		} else {
			t.pass(r, "")
		}
		return
	}
	r.lastPassed = max(r.lastPassed, w.GetPassedTime())
	if w.GetLeftTime() <= r.announced() { // it is known
		return
	}
	r.rejoined = w.GetRejoinedTime()
	switch _, passed := r.lastTimes(); {
	case r.phase == left:
		r.time = w.GetLeftTime()
	case r.phase != coming && r.rejoined == 0 && r.inherited && passed <= w.GetLeftTime() && (r.onBehalf || r.leftThere != 0):
		r.time = w.GetLeftTime()
		if r.isUnsettled() {
			t.retain(r, left)
		}
		r.phase = left
	default:
		r.lastLeft = w.GetLeftTime()
	}
}

// Deposited returns the places that this node deposits. Present are the places in which it has sockets.
func (t *Tracker) Deposited(present []Place) (deposited []Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range present {
		if r := t.records[p]; r == nil || !r.isUnsettled() {
			deposited = append(deposited, p)
		}
	}
	for p, r := range t.records {
		if r.phase == waiting || r.phase == leaving || r.hasReturned() {
			deposited = append(deposited, p)
		}
	}
	return deposited
}

// Close hands the users that are awaited over to another node, or awaits them no longer if there is
// none. It returns once nothing is unsettled, or ctx ends; the tracker does nothing after that. It is
// called when the node has no sockets left, while Run still runs.
func (t *Tracker) Close(ctx context.Context) {
	defer t.end()
	t.beginClosing(ctx)
	told := make(map[Place]known)
	for ctx.Err() == nil {
		leaves, unsettled := t.awaited()
		switch {
		case len(leaves.GetLeaves()) > 0:
			adopted := t.opts.Adopt != nil && t.opts.Adopt(ctx, leaves)
			t.release(leaves, adopted)
		case unsettled == 0 && t.handOverKnown(ctx, told):
			return
		}
		pause(ctx, gatherFor)
	}
}

// beginClosing sees to it that what is found out at this node is found out in time to hand over what
// follows.
func (t *Tracker) beginClosing(ctx context.Context) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing, t.decideBy = true, now.Add(closePatience)
	if end, ok := ctx.Deadline(); ok && end.Add(-handOverIn).Before(t.decideBy) {
		t.decideBy = end.Add(-handOverIn)
	}
	for _, r := range t.records {
		if r.phase == coming && r.position >= 0 && t.decideBy.Before(r.at) {
			t.set(r, t.decideBy)
		}
	}
}

// inTime returns when to ask again: at, or earlier if this node can't wait that long. mu is held.
func (t *Tracker) inTime(at, now time.Time) time.Time {
	if t.closing && t.decideBy.After(now) && t.decideBy.Before(at) {
		return t.decideBy
	}
	return at
}

// isLate reports whether this node ends so soon that it waits for no more answers. mu is held.
func (t *Tracker) isLate(now time.Time) bool { return t.closing && !now.Before(t.decideBy) }

// handOverKnown tells another node which users have left a short while ago, since nodes that ask about
// them need to know. It reports whether that is done, or can't be. Told is what was told before.
func (t *Tracker) handOverKnown(ctx context.Context, told map[Place]known) bool {
	if t.opts.Adopt == nil {
		return true
	}
	leaves, ended := t.untold(told)
	return ended || len(leaves) > 0 && !t.opts.Adopt(ctx, &wire.AdoptLeaves{Announced: leaves})
}

// known is what a node knows about a user who has left a short while ago.
type known struct{ announced, passed, rejoined int64 }

// untold returns some of the users who have left a short while ago and about whom something isn't told
// yet, the last ones first, and notes that it is. If there are none, and nothing else is unsettled, it
// ends the tracker.
func (t *Tracker) untold(told map[Place]known) (leaves []*wire.AnnouncedLeave, ended bool) {
	t.announcing.Lock()
	defer t.announcing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	passedSince := time.Now().Add(keepFor - keepPassed)
	for p, r := range t.records {
		k := known{rejoined: r.rejoined}
		k.announced, k.passed = r.lastTimes()
		if told[p] != k && (k.announced != 0 || r.phase == passed && r.at.After(passedSince)) {
			leaves = append(leaves, &wire.AnnouncedLeave{Place: p.Wire(), LeftTime: k.announced, PassedTime: k.passed, RejoinedTime: k.rejoined})
		}
	}
	if len(leaves) == 0 && t.unsettled == 0 {
		t.forget()
		return nil, true
	}
	slices.SortFunc(leaves, func(a, b *wire.AnnouncedLeave) int {
		return cmp.Compare(max(b.GetLeftTime(), b.GetPassedTime()), max(a.GetLeftTime(), a.GetPassedTime()))
	})
	leaves = leaves[:min(len(leaves), maxQuestions)]
	for _, w := range leaves {
		told[PlaceFrom(w.GetPlace())] = known{w.GetLeftTime(), w.GetPassedTime(), w.GetRejoinedTime()}
	}
	return leaves, false
}

// end forgets what isn't settled. Nobody would learn what the tracker finds out later.
func (t *Tracker) end() {
	t.announcing.Lock()
	defer t.announcing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
}

// forget forgets what isn't settled. The rest is for nodes that ask until this one is gone. mu is held.
func (t *Tracker) forget() {
	t.closed = true
	maps.DeleteFunc(t.records, func(_ Place, r *record) bool { return r.isUnsettled() })
	t.agenda = slices.DeleteFunc(t.agenda, func(r *record) bool { return r.isUnsettled() })
	for i, r := range t.agenda {
		r.position = i
	}
	heap.Init(&t.agenda)
	t.unsettled = 0
}

// awaited returns some of the users who are awaited, or about whom not all nodes have answered, and
// how many records aren't settled. These users wait for release.
func (t *Tracker) awaited() (leaves *wire.AdoptLeaves, unsettled int) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	leaves = &wire.AdoptLeaves{}
	var taken []*record
	for _, r := range t.records {
		// A node that doesn't answer soon may have been lost, and this one can't wait until that is sure.
		unanswered := r.phase == leaving && (t.isLate(now) || r.tries > 0 && (r.position >= 0 || now.Sub(r.asked) >= answerPatience))
		if len(taken) < maxQuestions && (r.phase == waiting || unanswered) {
			taken = append(taken, r)
		}
	}
	slices.SortFunc(taken, func(a, b *record) int { return cmp.Compare(a.time, b.time) })
	for _, r := range taken {
		if r.position >= 0 {
			heap.Remove(&t.agenda, r.position)
		}
		wait := int64(0)
		if r.phase == waiting {
			wait = r.at.Sub(now).Milliseconds()
		}
		t.stillThere(r)
		w := &wire.WaitingLeave{Place: r.place.Wire(), WaitMs: wait, OnBehalf: r.onBehalf}
		_, w.LeftTime = r.lastTimes()
		leaves.Leaves = append(leaves.Leaves, w)
	}
	return leaves, t.unsettled
}

// release stops waiting for users: another node finds out about them from now on, or this one asks.
func (t *Tracker) release(leaves *wire.AdoptLeaves, adopted bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range leaves.GetLeaves() {
		r := t.records[PlaceFrom(w.GetPlace())]
		switch {
		case r == nil || r.phase != waiting && r.phase != leaving || r.position >= 0: // it has changed meanwhile
		case adopted: // a node that asks now may have asked the other one before that
			t.pass(r, "")
		default:
			r.phase, r.time = leaving, t.clock.next()
			t.set(r, now)
		}
	}
}
