package presence

import (
	"container/heap"
	"time"
)

// phase is how far a record is.
type phase uint8

const (
	// coming: the user has come to this node, and it isn't known yet whether that is to be announced.
	coming phase = iota
	// waiting: the user has lost the last connection to this node, and may return in time.
	waiting
	// leaving: the user has left this node, and it isn't known yet whether that is to be announced.
	leaving
	// passed: the user has left this node and is at another one, so it wasn't announced.
	passed
	// left: this node has announced that the user has left.
	left
)

// record is what isn't settled about a user in a place, or was settled a short while ago. Without a
// record, a user who is at the node is present, and everybody knows. Guarded by Tracker.mu.
type record struct {
	place Place
	phase phase
	time  int64 // when the user came or left, by the clock

	at       time.Time // when to go on with it
	position int       // in agenda; -1 while the other nodes are asked

	// Only of coming.
	gone bool      // the user has left this node meanwhile
	due  time.Time // if so: when to ask about that
	lost bool      // a node is gone that had the user before it came

	// When the user left before that: announced, as far as this node knows, and not announced; 0 for never.
	lastLeft, lastPassed int64
	rejoined             int64 // when the user came to another node first after lastLeft or, of left, time; 0 for never

	// Only of waiting, leaving and passed.
	inherited bool   // the user was at another node, and this one finds out for it
	onBehalf  bool   // the same, and that node was lost
	leftThere int64  // the same: when the user was there last; 0 if that isn't known
	to        string // of passed: the node that has the user, as far as this one knows

	tries int       // how often the other nodes were asked
	asked time.Time // when they were asked first
	doubt time.Time // when not all nodes answered last; zero if they all did
}

// isUnsettled reports whether there is something to find out.
func (r *record) isUnsettled() bool { return r.phase <= leaving }

// lastTimes returns when the user left: announced, and not announced. Another node may have announced
// something after that.
func (r *record) lastTimes() (announced, notAnnounced int64) {
	switch {
	case r.phase == left:
		return r.time, r.lastPassed
	case r.phase == coming:
		return r.lastLeft, r.lastPassed
	case r.inherited:
		return r.lastLeft, max(r.lastPassed, r.leftThere)
	}
	return r.lastLeft, max(r.lastPassed, r.time)
}

// announced returns when this node has announced that the user has left; 0 if it hasn't.
func (r *record) announced() int64 {
	announced, _ := r.lastTimes()
	return announced
}

// rejoinedBefore reports whether the user came to another node between the last announcement that it had
// left and a time. A user who comes at that time isn't the one who is announced then.
func (r *record) rejoinedBefore(time int64) bool { return r.rejoined != 0 && r.rejoined < time }

// hasReturned reports whether others were told that a user who has come is there, as far as this node knows.
func (r *record) hasReturned() bool {
	return r.phase == coming && returned(r.lost, r.lastLeft, r.lastPassed)
}

// returned reports whether, as far as nodes know, it wasn't announced that the user had left before it
// came. lost says that a node is gone that had the user. If that was maybe after a leave that was
// announced, the user comes twice rather than not at all.
func returned(lost bool, lastLeft, lastPassed int64) bool {
	return lastPassed > lastLeft || lost && lastLeft == 0
}

// agenda is a heap of records by the time when to go on with them.
type agenda []*record

// Len implements [heap.Interface].
func (a agenda) Len() int { return len(a) }

// Less implements [heap.Interface].
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }

// Swap implements [heap.Interface].
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].position, a[j].position = i, j
}

// Push implements [heap.Interface].
func (a *agenda) Push(r any) {
	added := r.(*record) //nolint:forcetypeassert // it has nothing else
	added.position = len(*a)
	*a = append(*a, added)
}

// Pop implements [heap.Interface].
func (a *agenda) Pop() any {
	last := len(*a) - 1
	r := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	r.position = -1
	return r
}

// set puts a record on the agenda, or moves it there. The tracker's mu is held.
func (t *Tracker) set(r *record, at time.Time) {
	r.at = at
	if r.position >= 0 {
		heap.Fix(&t.agenda, r.position)
	} else {
		heap.Push(&t.agenda, r)
	}
	if t.agenda[0] == r {
		notify(t.wake)
	}
}

// add makes a record, in place of one that was there before. It returns nil if there are too many.
// The tracker's mu is held.
func (t *Tracker) add(p Place, in phase, at time.Time) *record {
	r := &record{place: p, phase: in, position: -1}
	if before := t.records[p]; before != nil {
		r.lastLeft, r.lastPassed = before.lastTimes()
		r.rejoined = before.rejoined
		r.lost = in == coming && before.phase != left && before.onBehalf
		t.remove(before)
	}
	switch {
	case t.closed:
		return nil
	case len(t.records) >= maxRecords:
		t.opts.Dropped()
		return nil
	}
	r.time = t.clock.next()
	t.records[p] = r
	t.unsettled++
	t.set(r, at)
	t.depositReturned(r)
	return r
}

// depositReturned deposits a user who has come, once it is known that others were told before that it is
// there: they rely on this node then. The tracker's mu is held.
func (t *Tracker) depositReturned(r *record) {
	if r.hasReturned() {
		t.opts.Deposit(r.place, true)
	}
}

// remove forgets a record. The tracker's mu is held.
func (t *Tracker) remove(r *record) {
	delete(t.records, r.place)
	if r.position >= 0 {
		heap.Remove(&t.agenda, r.position)
	}
	if r.isUnsettled() {
		t.unsettled--
	}
}

// stillThere notes that a user who is awaited is as good as there. The tracker's mu is held.
func (t *Tracker) stillThere(r *record) {
	if r.phase == waiting && !r.inherited {
		r.time = t.clock.next()
	}
}

// pass ends the question about a user who has left and whom another node has, which may be empty if it
// isn't known. The tracker's mu is held.
func (t *Tracker) pass(r *record, to string) {
	r.to = to
	t.retain(r, passed)
}

// retain keeps a record of a user who has left and was passed on or announced, for nodes that ask
// late. The tracker's mu is held.
func (t *Tracker) retain(r *record, as phase) {
	r.phase = as
	t.set(r, time.Now().Add(keepFor))
	t.unsettled--
	t.opts.Deposit(r.place, false)
}

func notify(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
