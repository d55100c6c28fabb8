package eventhub

import (
	"sync/atomic"
	"time"
)

// question is an event that a client waits for an answer to. It ends exactly once.
type question struct {
	// Static.
	hub        *Hub
	id         uint64 // of its delivery
	kind       Kind
	asked      time.Time
	decision   bool      // it needs a decision, not a reply
	fromRemote bool      // another node asks, and counts it
	groups     []*group  // that were asked
	first      [1]*group // backs groups if there is one, as nearly always
	done       func(answer)

	state   atomic.Int32 // one of the constants below
	waiting atomic.Int32 // how many of the groups may still answer
	place   place        // guarded by deadlines.mu
}

// answer is how a question ends: with what a backend said, or with an error.
type answer struct {
	reply    Reply
	decision Decision
	err      *Error
}

// The states of a question.
const (
	stateOpen int32 = iota
	stateAnswered
	stateExpired
)

func (q *question) open() bool { return q.state.Load() == stateOpen }

// end ends the question and reports whether it was open.
func (q *question) end(state int32, a answer) bool {
	first := q.state.CompareAndSwap(stateOpen, state)
	if !first {
		return false
	}
	q.hub.deadlines.remove(q)
	for _, g := range q.groups {
		g.questionEnded(q)
	}
	reason := ""
	if a.err != nil {
		reason = a.err.Reason
	}
	if !q.fromRemote {
		q.hub.opts.Observer.QuestionEnded(q.kind, reason, time.Since(q.asked))
	}
	q.done(a)
	return true
}

// expire ends the question because nobody has answered in time.
func (q *question) expire() {
	q.end(stateExpired, answer{err: newError(ReasonHandlerTimeout)})
}

// giveUp says that one of the groups won't answer. The last group ends the question.
func (q *question) giveUp(reason string) {
	left := q.waiting.Add(-1)
	if left == 0 {
		q.end(stateExpired, answer{err: newError(reason)})
	}
}

// outcome is the reason why the question, which has ended, takes no answer.
func (q *question) outcome() string {
	if q.state.Load() == stateExpired {
		return ReasonDeliveryExpired
	}
	return ReasonDeliveryAnswered
}

// history holds how a member's last questions ended, so that a late answer is rejected with the
// right reason.
type history struct {
	ring []endedQuestion
	next int
}

type endedQuestion struct {
	id     uint64 // of the delivery
	reason string // an answer is rejected with it
}

// historySize is how many questions a history holds.
const historySize = 1024

func (h *history) add(e endedQuestion) {
	if len(h.ring) < historySize {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[h.next] = e
	h.next = (h.next + 1) % historySize
}

// find returns how the question of a delivery ended, ReasonDeliveryNotFound if the history doesn't
// have it.
func (h *history) find(id uint64) string {
	for _, e := range h.ring {
		if e.id == id {
			return e.reason
		}
	}
	return ReasonDeliveryNotFound
}
