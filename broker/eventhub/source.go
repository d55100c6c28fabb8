package eventhub

import "slices"

// Source offers the events of another node's hub to one subscription of this node. At the other
// node a [Remote] represents the subscription. The other node has chosen this subscription, so the
// events never go to other members of its group here: if the subscription ends, the other node
// hands over what is left.
//
// Its methods may be called concurrently.
type Source struct {
	// Static.
	s         *Subscription
	node      string
	transport Transport

	// Guarded by the group's mu.
	taken     uint64
	stopped   bool
	questions map[uint64]*question // that are open, by the delivery's id
}

// AddSource lets another node, named node, offer events to the subscription.
func (s *Subscription) AddSource(node string, t Transport) *Source {
	src := &Source{s: s, node: node, transport: t, questions: make(map[uint64]*question)}
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.sources = append(s.sources, src)
	if s.err != nil {
		t.SourceChanged(src)
	}
	return src
}

// Node returns the name of the other node.
func (src *Source) Node() string { return src.node }

// Subscription returns the id of the subscription.
func (src *Source) Subscription() uint64 { return src.s.id }

// Offer queues a delivery and reports whether it did. It refuses once the subscription has ended
// or the hub drains. A subscription that has no room for the delivery ends. The delivery keeps its
// id, so it is the same id whichever node hands the event out.
func (src *Source) Offer(d Delivery) bool {
	s, h := src.s, src.s.hub
	en := entry{id: d.ID, event: d.Event, redelivered: d.Redelivered, size: d.Event.Size(), source: src}
	if d.NeedsAck || d.NeedsDecision {
		en.question = src.newQuestion(&d)
	}
	var after aftermath
	s.group.mu.Lock()
	ok := s.err == nil && !src.stopped && !h.draining.Load()
	if ok && !s.accepts(&en, h.opts.MaxQueuedEvents, h.opts.MaxQueuedBytes) {
		s.group.remove(s, newError(ReasonSlowSubscriber), &after)
		ok = false
	}
	if ok {
		s.push(en)
		if en.question != nil {
			src.questions[d.ID] = en.question
			h.deadlines.add(en.question)
		}
	}
	s.group.mu.Unlock()
	after.finish(h)
	return ok
}

// newQuestion returns the question of a delivery. The other node watches the client's deadline;
// the deadline here only ends questions that the other node has forgotten.
func (src *Source) newQuestion(d *Delivery) *question {
	q := &question{
		hub:        src.s.hub,
		id:         d.ID,
		kind:       d.Event.Kind,
		fromRemote: true,
		decision:   d.NeedsDecision,
		groups:     []*group{src.s.group},
	}
	q.done = func(a answer) { src.answered(q, a) }
	q.waiting.Store(1)
	return q
}

// answered passes on an answer. The other node finds out by itself that there is none.
func (src *Source) answered(q *question, a answer) {
	src.s.group.mu.Lock()
	delete(src.questions, q.id)
	src.s.group.mu.Unlock()
	if a.err == nil {
		src.transport.Answered(src, Answer{ID: q.id, IsDecision: q.decision, Reply: a.reply, Decision: a.decision})
	}
}

// EndQuestions says which deliveries need no answer any more, because they were answered elsewhere
// or have expired.
func (src *Source) EndQuestions(answered, expired []uint64) {
	for _, id := range answered {
		src.endQuestion(id, stateAnswered)
	}
	for _, id := range expired {
		src.endQuestion(id, stateExpired)
	}
}

func (src *Source) endQuestion(id uint64, state int32) {
	src.s.group.mu.Lock()
	q := src.questions[id]
	src.s.group.mu.Unlock()
	if q != nil {
		q.end(state, answer{err: newError(ReasonHandlerTimeout)})
	}
}

// take counts an entry that leaves the queue. The caller holds the group's mu.
func (src *Source) take() {
	src.taken++
	src.transport.SourceChanged(src)
}

// Progress returns how many of the offered deliveries have left the queue, in the order in which
// they were offered, and whether the subscription has ended. If it has, the others never reached
// the backend.
func (src *Source) Progress() (taken uint64, ended bool) {
	src.s.group.mu.Lock()
	defer src.s.group.mu.Unlock()
	return src.taken, src.s.err != nil
}

// Stop ends the source and withdraws what the backend wasn't handed: the other node considers the
// subscription lost. Slow says that the subscription couldn't keep up; it ends.
func (src *Source) Stop(slow bool) {
	src.Detach()
	g := src.s.group
	var after aftermath
	var open []uint64
	g.mu.Lock()
	src.stopped = true
	for id := range src.questions {
		open = append(open, id)
	}
	if slow && src.s.err == nil {
		g.remove(src.s, newError(ReasonSlowSubscriber), &after)
	}
	g.mu.Unlock()
	after.finish(src.s.hub)
	src.EndQuestions(nil, open)
}

// Detach ends the source when the other node is gone. What it has offered is still handed out, but
// answers lead nowhere.
func (src *Source) Detach() {
	s := src.s
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.sources = slices.DeleteFunc(s.sources, func(other *Source) bool { return other == src })
}
