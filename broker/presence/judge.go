package presence

import (
	"cmp"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// answer is what another node knows.
type answer struct {
	node  string
	state wire.PresenceAnswer_State
	time  int64

	// When the user left: announced by the node, and not announced; 0 for never.
	left, passed int64
	rejoined     bool // the user has come to another node since left, and before it came to this one
	onBehalf     bool // of a node that is gone: whether that was before left isn't known
}

// answerFrom returns what a node has answered.
func answerFrom(node string, a *wire.PresenceAnswer) answer {
	return answer{
		node: node, state: a.GetState(), time: a.GetTime(), left: a.GetLeftTime(), passed: a.GetPassedTime(),
		rejoined: a.GetRejoined(), onBehalf: a.GetOnBehalf(),
	}
}

// verdict is what follows from the answers so far.
type verdict uint8

const (
	// announce: nobody else does, if these are all answers.
	announce verdict = iota
	// assume: there is nothing to announce, if these are all answers.
	assume
	// keepQuiet: there is nothing to announce, or another node does.
	keepQuiet
	// passOn: the same, but only this node knows at the moment that there is nothing to announce.
	passOn
	// askLater: it isn't known yet.
	askLater
)

// judge decides about a question that was asked at a time by the clock. If the user has left and is at
// another node, it returns that node, too.
func (r *record) judge(self string, asked int64, answers []answer) (v verdict, to string) {
	if r.phase == coming {
		return r.judgeComing(self, answers), ""
	}
	return r.judgeLeaving(self, asked, answers)
}

// judgeComing decides about a user who has come to this node. If the user has left before, then it has
// come later, whatever the clock of this node has shown.
func (r *record) judgeComing(self string, answers []answer) verdict {
	v := announce
	for _, a := range answers {
		r.learn(a)
		r.lastPassed = max(r.lastPassed, a.passed)
		r.lost = r.lost || a.onBehalf
		switch a.state {
		case wire.PresenceAnswer_STATE_PRESENT:
			v = keepQuiet
		case wire.PresenceAnswer_STATE_COMING:
			if v == announce && before(a.time, a.node, r.time, self) {
				v = askLater // if this node said that the user is present, the other one would keep quiet
			}
		case wire.PresenceAnswer_STATE_WAITING, wire.PresenceAnswer_STATE_LEAVING:
			r.lastPassed = max(r.lastPassed, a.time) // from now on, that node relies on this one
		case wire.PresenceAnswer_STATE_UNSURE:
			if v == announce {
				v = askLater
			}
		case wire.PresenceAnswer_STATE_UNSPECIFIED, wire.PresenceAnswer_STATE_MOVING,
			wire.PresenceAnswer_STATE_LEFT, wire.PresenceAnswer_STATE_PASSED:
		}
	}
	switch {
	case v != announce:
		return v
	case r.hasReturned():
		return assume // a third node has the user, or knows who has, or one that is gone has announced it
	}
	r.time = max(r.time, r.lastLeft+1)
	return v
}

// learn keeps what another node knows about when the user has left before it came, as it was announced.
// This node may have to tell others.
func (r *record) learn(a answer) {
	if a.left <= r.lastLeft {
		return
	}
	r.lastLeft, r.rejoined = a.left, 0
	if a.rejoined {
		r.rejoined = a.left + 1 // some time before r.time
	}
}

// judgeLeaving decides about a user who has left this node. If another node has passed the user on to
// this one, then the user has left later, whatever the clock of this node has shown: this node may
// have found out without that node's answer, and so without its clock.
//
// The answers are from different moments, and the user may have gone meanwhile from a node that hadn't
// answered yet to one that had. Then the node that was left says that it was left after the question.
func (r *record) judgeLeaving(self string, asked int64, answers []answer) (v verdict, to string) {
	v = announce
	announced, notAnnounced := int64(0), max(r.lastPassed, r.leftThere)
	if r.rejoined == 0 {
		announced = r.lastLeft
	}
	last := max(announced, notAnnounced)
	for _, a := range answers {
		notAnnounced = max(notAnnounced, a.passed)
		last = max(last, a.left, a.passed)
		switch a.state {
		case wire.PresenceAnswer_STATE_PRESENT, wire.PresenceAnswer_STATE_WAITING:
			v = keepQuiet // the user is there, or the other node finds out
		case wire.PresenceAnswer_STATE_COMING, wire.PresenceAnswer_STATE_MOVING:
			if v == announce {
				v, to = passOn, a.node // it finds out if it doesn't get the session, or knows that the user had come before
			}
		case wire.PresenceAnswer_STATE_LEAVING:
			if before(r.time, self, a.time, a.node) {
				v = keepQuiet // the other node announces
			}
		case wire.PresenceAnswer_STATE_LEFT:
			announced = max(announced, a.time)
			if !r.inherited && before(r.time, self, a.time, a.node) {
				v = keepQuiet // the other node has announced it
			}
		case wire.PresenceAnswer_STATE_UNSPECIFIED, wire.PresenceAnswer_STATE_PASSED, wire.PresenceAnswer_STATE_UNSURE:
		}
	}
	r.lastPassed = notAnnounced
	switch {
	case v != announce:
		return v, to
	case notAnnounced > asked:
		return askLater, ""
	case r.inherited && announced != 0 && announced >= notAnnounced:
		return keepQuiet, "" // it was announced since the user was there
	}
	r.time = max(r.time, last+1)
	return announce, ""
}

// before reports whether something was before something else at another node.
func before(time int64, node string, otherTime int64, otherNode string) bool {
	return cmp.Or(cmp.Compare(time, otherTime), cmp.Compare(node, otherNode)) < 0
}
