package presence

import (
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Answer answers the questions of another node. It may wait for what this node is just announcing,
// so that the other node's announcements come later.
func (t *Tracker) Answer(from string, q *wire.AskPresence) *wire.PresenceAnswers {
	t.announcing.Lock()
	defer t.announcing.Unlock()
	now := time.Now()
	answers := &wire.PresenceAnswers{Answers: make([]*wire.PresenceAnswer, len(q.GetQuestions()))}
	for i, one := range q.GetQuestions() {
		place := PlaceFrom(one.GetPlace())
		// The index first: whoever comes or goes after that leaves a record, which counts more.
		local := t.opts.Local(place)
		t.mu.Lock()
		t.clock.see(max(q.GetClock(), one.GetTime()))
		t.expire(place, now)
		answers.Answers[i] = t.answer(from, place, local, one)
		t.mu.Unlock()
	}
	t.mu.Lock()
	answers.Clock = t.clock.next()
	t.mu.Unlock()
	return answers
}

// expire forgets what was kept long enough, also when Run has ended. mu is held.
func (t *Tracker) expire(place Place, now time.Time) {
	if r := t.records[place]; r != nil && !r.isUnsettled() && !r.at.After(now) {
		t.remove(r)
	}
}

// answer answers one question and notes what follows from it. mu is held.
func (t *Tracker) answer(from string, place Place, local Local, q *wire.PresenceQuestion) *wire.PresenceAnswer {
	r := t.records[place]
	if q.GetLeft() && t.handed[place].to == from {
		delete(t.handed, place) // the user has arrived there
	}
	switch {
	case r == nil:
		return &wire.PresenceAnswer{State: stateOf(local)}
	case r.phase != coming && local == Present: // a session has come from another node
		t.remove(r)
		return &wire.PresenceAnswer{State: stateOf(local)}
	}
	later := q.GetTime() > r.time
	switch {
	case q.GetLeft() && r.phase == left && r.rejoined != 0:
		if later {
			t.remove(r) // the other node finds out what has come after that
		}
		return &wire.PresenceAnswer{State: stateOf(local), PassedTime: r.lastPassed}
	case q.GetLeft() && r.phase != coming && local == Moving:
		return &wire.PresenceAnswer{State: stateOf(local)}
	case !q.GetLeft() && r.phase == left && later && (r.rejoined == 0 || q.GetTime() < r.rejoined):
		r.rejoined = q.GetTime()
	}
	inherited := q.GetElsewhere() || q.GetOnBehalf()
	switch {
	case !q.GetLeft() && r.phase == leaving && r.inherited:
		return &wire.PresenceAnswer{State: wire.PresenceAnswer_STATE_UNSURE, Time: r.time}
	case !q.GetLeft() && (r.phase == waiting || r.phase == leaving):
		t.stillThere(r)
		t.pass(r, from)
	case inherited && r.phase == waiting && r.position < 0:
		t.pass(r, from) // the other node has adopted the user, and its answer to that is on its way
	}
	a := &wire.PresenceAnswer{State: r.state(), Time: r.time, Rejoined: r.rejoinedBefore(q.GetTime()), OnBehalf: r.onBehalf}
	a.LeftTime, a.PassedTime = r.lastTimes()
	switch {
	case r.phase == coming && inherited:
		r.lost = r.lost || q.GetOnBehalf()
		r.lastPassed = max(r.lastPassed, q.GetLeftThere())
		t.depositReturned(r)
	case r.phase == coming && q.GetLeft() && later:
		// The other node had the user at the same time, so it was announced that the user has come.
		t.settle(r, time.Now())
	case (r.phase == leaving || r.phase == passed) && q.GetLeft() && later:
		t.remove(r) // the other node finds out
		t.opts.Deposit(place, false)
	}
	return a
}

// state returns what a record means for other nodes.
func (r *record) state() wire.PresenceAnswer_State {
	switch r.phase {
	case coming:
		return wire.PresenceAnswer_STATE_COMING
	case waiting:
		return wire.PresenceAnswer_STATE_WAITING
	case leaving:
		return wire.PresenceAnswer_STATE_LEAVING
	case passed:
		return wire.PresenceAnswer_STATE_PASSED
	case left:
		return wire.PresenceAnswer_STATE_LEFT
	}
	return wire.PresenceAnswer_STATE_UNSPECIFIED
}

// stateOf returns what a node without a record answers.
func stateOf(local Local) wire.PresenceAnswer_State {
	switch local {
	case Present:
		return wire.PresenceAnswer_STATE_PRESENT
	case Moving:
		return wire.PresenceAnswer_STATE_MOVING
	case Absent:
	}
	return wire.PresenceAnswer_STATE_UNSPECIFIED
}
