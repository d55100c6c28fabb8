package events

import (
	"context"
	"errors"
	"slices"
)

// Why nobody has decided; see [Hub.Decide].
var (
	// ErrNobodyDecides: no member decides in this namespace.
	ErrNobodyDecides = errors.New("events: nobody decides")
	// ErrUndecided: not every group that decides has answered in time.
	ErrUndecided = errors.New("events: undecided")
)

// Decide asks one member of every group that has one with [Start.Decide] whether
// the socket of a Connect event may connect, and waits for the answers. The
// first refusal is the decision. If all accept, the rooms of all are united, and
// the last that sets data has its way. Otherwise the error is ErrNobodyDecides,
// at once; or ErrUndecided, when the time is over or no member of a group can answer
// any more; or the context's.
func (h *Hub) Decide(ctx context.Context, e *Event) (Decision, error) {
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
		g.enqueue(entry{id: q.id, event: e, question: q, size: e.size()})
	}
	defer func() { // those who have not been heard needn't answer
		for _, q := range questions {
			q.expire()
		}
	}()
	limited, cancel := context.WithTimeout(ctx, h.opts.DecisionTimeout)
	defer cancel()
	return collect(ctx, limited, answers, len(groups))
}

// collect makes one decision of the answers.
func collect(ctx, limited context.Context, answers <-chan answer, n int) (Decision, error) {
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
		case <-limited.Done():
			if err := ctx.Err(); err != nil {
				return Decision{}, err
			}
			return Decision{}, ErrUndecided
		}
	}
	return all, nil
}
