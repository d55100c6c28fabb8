package eventhub

import (
	"errors"
	"slices"
	"time"
)

// Errors of [Hub.Decide].
var (
	// ErrNobodyDecides: no member decides in this namespace.
	ErrNobodyDecides = errors.New("eventhub: no subscription decides about this connection")
	// ErrUndecided: not every group that decides has answered in time.
	ErrUndecided = errors.New("eventhub: no decision in time")
)

// Decide asks one member of every group that has one with [SubscribeOptions.Decide] whether the
// socket of a Connect event may connect, and waits for the answers. The first refusal is the
// decision. If all accept, the decision has the rooms of all and the last data that was set.
//
// The error is ErrNobodyDecides, immediately, if there is no such group. It is ErrUndecided once
// the time is over, a group has no member left that can answer, or gone is closed because the
// client has left.
func (h *Hub) Decide(e *Event, gone <-chan struct{}) (Decision, error) {
	var groups []*group
	for _, r := range h.routes.Load().groups {
		if r.wants(Connect, e.Namespace, "", true) {
			groups = append(groups, r.group)
		}
	}
	if len(groups) == 0 {
		return Decision{}, ErrNobodyDecides
	}
	answers := make(chan answer, len(groups))
	questions := make([]*question, len(groups))
	for i, g := range groups {
		q := h.newQuestion(e, func(a answer) { answers <- a })
		q.decision, q.groups = true, groups[i:i+1]
		q.waiting.Store(1)
		questions[i] = q
		g.enqueue(entry{id: q.id, event: e, question: q, size: e.Size()})
	}
	defer func() { // no other answer is needed now
		for _, q := range questions {
			q.expire()
		}
	}()
	timer := time.NewTimer(h.opts.DecisionTimeout)
	defer timer.Stop()
	return collect(answers, len(groups), timer.C, gone)
}

// Decides reports whether any subscription decides about connections to a namespace. It takes no
// lock.
func (h *Hub) Decides(namespace string) bool {
	for _, r := range h.routes.Load().groups {
		if r.wants(Connect, namespace, "", true) {
			return true
		}
	}
	return false
}

// collect makes one decision of the answers.
func collect(answers <-chan answer, n int, late <-chan time.Time, gone <-chan struct{}) (Decision, error) {
	var all Decision
	for range n {
		select {
		case a := <-answers:
			if a.err != nil {
				return Decision{}, ErrUndecided
			}
			if a.decision.Refusal != nil {
				return a.decision, nil
			}
			for _, room := range a.decision.Rooms {
				if !slices.Contains(all.Rooms, room) {
					all.Rooms = append(all.Rooms, room)
				}
			}
			if len(a.decision.Data) > 0 {
				all.Data = a.decision.Data
			}
		case <-late:
			return Decision{}, ErrUndecided
		case <-gone:
			return Decision{}, ErrUndecided
		}
	}
	return all, nil
}
