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
}

// verdict is what follows from the answers so far.
type verdict uint8

const (
	// announce: nobody else does, if these are all answers.
	announce verdict = iota
	// keepQuiet: there is nothing to announce, or another node does.
	keepQuiet
	// passOn: the same, but only this node knows at the moment that there is nothing to announce.
	passOn
	// askLater: another node is to announce first.
	askLater
)

// judge decides about a question.
func (r *record) judge(self string, answers []answer) verdict {
	if r.phase == coming {
		return r.judgeComing(self, answers)
	}
	return r.judgeLeaving(self, answers)
}

// judgeComing decides about a user who has come to this node. If the user has left before, then it has
// come later, whatever the clock of this node has shown.
func (r *record) judgeComing(self string, answers []answer) verdict {
	v := announce
	lastLeft, lastPassed := r.lastLeft, r.lastPassed
	for _, a := range answers {
		lastLeft, lastPassed = max(lastLeft, a.left), max(lastPassed, a.passed)
		switch a.state {
		case wire.PresenceAnswer_STATE_PRESENT:
			return keepQuiet
		case wire.PresenceAnswer_STATE_COMING:
			if before(a.time, a.node, r.time, self) {
				v = askLater // if this node said that the user is present, the other one would keep quiet
			}
		case wire.PresenceAnswer_STATE_WAITING, wire.PresenceAnswer_STATE_LEAVING:
			return keepQuiet // the other node doesn't announce that the user has left
		case wire.PresenceAnswer_STATE_UNSPECIFIED, wire.PresenceAnswer_STATE_MOVING,
			wire.PresenceAnswer_STATE_LEFT, wire.PresenceAnswer_STATE_PASSED:
		}
	}
	if lastPassed > lastLeft {
		return keepQuiet // a third node has the user, or knows who has
	}
	r.time, r.lastLeft = max(r.time, lastLeft+1), lastLeft
	return v
}

// judgeLeaving decides about a user who has left this node. If another node has passed the user on to
// this one, then the user has left later, whatever the clock of this node has shown: this node may
// have found out without that node's answer, and so without its clock.
func (r *record) judgeLeaving(self string, answers []answer) verdict {
	v := announce
	last := int64(0)
	for _, a := range answers {
		last = max(last, a.left, a.passed)
		switch a.state {
		case wire.PresenceAnswer_STATE_PRESENT, wire.PresenceAnswer_STATE_WAITING:
			return keepQuiet // the user is there, or the other node finds out
		case wire.PresenceAnswer_STATE_COMING:
			if a.time < r.time {
				return keepQuiet // the other node knows by this question that the user had come before
			}
			v = passOn
		case wire.PresenceAnswer_STATE_MOVING:
			v = passOn // the other node finds out if it doesn't get the session
		case wire.PresenceAnswer_STATE_LEAVING:
			if before(r.time, self, a.time, a.node) {
				return keepQuiet // the other node announces
			}
		case wire.PresenceAnswer_STATE_LEFT:
			if r.onBehalf || before(r.time, self, a.time, a.node) {
				return keepQuiet // the other node has announced it
			}
		case wire.PresenceAnswer_STATE_UNSPECIFIED, wire.PresenceAnswer_STATE_PASSED:
		}
	}
	if v == announce {
		r.time = max(r.time, last+1)
	}
	return v
}

// before reports whether something was before something else at another node.
func before(time int64, node string, otherTime int64, otherNode string) bool {
	return cmp.Or(cmp.Compare(time, otherTime), cmp.Compare(node, otherNode)) < 0
}
