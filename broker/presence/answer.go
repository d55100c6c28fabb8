package presence

import (
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Answer answers the questions of another node. It may wait for what this node is just announcing,
// so that the other node's announcements come later.
func (t *Tracker) Answer(q *wire.AskPresence) *wire.PresenceAnswers {
	t.announcing.Lock()
	defer t.announcing.Unlock()
	answers := &wire.PresenceAnswers{Answers: make([]*wire.PresenceAnswer, len(q.GetQuestions()))}
	for i, one := range q.GetQuestions() {
		place := PlaceFrom(one.GetPlace())
		// The index first: whoever comes or goes after that leaves a record, which counts more.
		local := t.opts.Local(place)
		t.mu.Lock()
		t.clock.see(max(q.GetClock(), one.GetTime()))
		answers.Answers[i] = t.answer(place, local, one)
		t.mu.Unlock()
	}
	t.mu.Lock()
	answers.Clock = t.clock.next()
	t.mu.Unlock()
	return answers
}

// answer answers one question and notes what follows from it. mu is held.
func (t *Tracker) answer(place Place, local Local, q *wire.PresenceQuestion) *wire.PresenceAnswer {
	r := t.records[place]
	if q.GetLeft() {
		delete(t.handed, place) // the user has arrived where it was handed over to
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
	case q.GetLeft() && r.phase != coming && (local == Moving || r.phase == left && r.rejoined != 0):
		return &wire.PresenceAnswer{State: stateOf(local)}
	case !q.GetLeft() && r.phase == left && later && (r.rejoined == 0 || q.GetTime() < r.rejoined):
		r.rejoined = q.GetTime()
	}
	if !q.GetLeft() && (r.phase == waiting || r.phase == leaving) && r.isInherited() {
		t.retain(r, passed) // without claiming that the user was there until now
	}
	a := &wire.PresenceAnswer{State: r.state(), Time: r.time, Rejoined: r.rejoinedBefore(q.GetTime()), OnBehalf: r.onBehalf}
	a.LeftTime, a.PassedTime = r.lastTimes()
	switch {
	case r.phase == coming && q.GetOnBehalf():
		r.lost = true
	case r.phase == coming && q.GetLeft() && later:
		// The other node had the user at the same time, so it was announced that the user has come.
		t.settle(r, time.Now())
	case (r.phase == waiting || r.phase == leaving) && !q.GetLeft():
		t.retain(r, passed)
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
