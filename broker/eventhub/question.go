package eventhub

import "sync/atomic"

// question is an event that somebody waits for an answer to. It ends exactly
// once.
type question struct {
	// Static.
	hub      *Hub
	id       uint64
	offered  bool // by another node, which counts it
	kind     Kind
	decision bool     // rather than a reply
	groups   []*group // that were asked
	tell     func(answer)

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

// end ends the question, unless it is over.
func (q *question) end(state int32, a answer) bool {
	if !q.state.CompareAndSwap(stateOpen, state) {
		return false
	}
	q.hub.deadlines.remove(q)
	for _, g := range q.groups {
		g.close(q)
	}
	reason := ""
	if a.err != nil {
		reason = a.err.Reason
	}
	if !q.offered {
		q.hub.opts.Observer.QuestionEnded(q.kind, reason)
	}
	q.tell(a)
	return true
}

// expire ends the question because nobody has answered in time.
func (q *question) expire() {
	q.end(stateExpired, answer{err: failed(ReasonHandlerTimeout)})
}

// abandon says that one of the groups won't answer. The last one ends it.
func (q *question) abandon(reason string) {
	if q.waiting.Add(-1) == 0 {
		q.end(stateExpired, answer{err: failed(reason)})
	}
}

// outcome is why the question, which is over, takes no answer.
func (q *question) outcome() string {
	if q.state.Load() == stateExpired {
		return ReasonDeliveryExpired
	}
	return ReasonDeliveryAnswered
}

// history remembers how a member's last deliveries ended, so that it can be
// told why an answer comes too late.
type history struct {
	ring []ended
	next int
}

type ended struct {
	id     uint64
	reason string
}

// remembered is how many deliveries a history holds.
const remembered = 1024

func (h *history) add(e ended) {
	if len(h.ring) < remembered {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[h.next] = e
	h.next = (h.next + 1) % remembered
}

// find returns how a delivery ended, ReasonDeliveryNotFound if it isn't known.
func (h *history) find(id uint64) string {
	for _, e := range h.ring {
		if e.id == id {
			return e.reason
		}
	}
	return ReasonDeliveryNotFound
}
