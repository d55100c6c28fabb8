package eventhub

// Remote represents a subscription of another node in this hub. It is a member of its group like
// any other, but it gets only events that no member of this node wants. A [Transport] takes events
// from it and carries them to the other node, where a [Source] offers them to the subscription.
//
// A delivery that was taken is in flight until Confirm. If the remote ends before, other members of
// the group get the delivery: unmarked if it certainly never reached the backend, marked
// Redelivered otherwise, whether it needs an answer or not.
//
// Its methods may be called concurrently, but Take by one goroutine at a time.
type Remote struct {
	s         *Subscription
	ref       SubscriptionRef
	transport Transport

	// Guarded by the group's mu.
	ended       []endedQuestion // since the last call of EndedQuestions
	undelivered bool            // what is in flight never reached the backend
}

// AddRemote adds a member that represents a subscription of another node, ref, which was made with
// o. Its credits bound how many events may be in flight. The error is an *[Error].
func (h *Hub) AddRemote(o SubscribeOptions, ref SubscriptionRef, t Transport) (*Remote, error) {
	r := &Remote{ref: ref, transport: t}
	_, err := h.addMember(o, r)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Take returns deliveries to carry to the other node, as [Subscription.Take] does. Their ids name
// them in the other methods.
func (r *Remote) Take(into []Delivery) (int, error) { return r.s.Take(into) }

// Queued calls visit for each event that waits to be taken, in order. visit must be quick and must
// not call back into the hub.
func (r *Remote) Queued(visit func(*Event)) {
	r.s.group.mu.Lock()
	defer r.s.group.mu.Unlock()
	r.s.queue.all(visit)
}

// IsEmpty reports whether no event waits to be taken.
func (r *Remote) IsEmpty() bool {
	r.s.group.mu.Lock()
	defer r.s.group.mu.Unlock()
	return r.s.queue.count == 0
}

// Err says why the remote has ended, as [Subscription.Err] does.
func (r *Remote) Err() error { return r.s.Err() }

// Confirm says that the backend was handed these deliveries, and grants as many credits.
func (r *Remote) Confirm(ids ...uint64) {
	g := r.s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.s.err != nil {
		return
	}
	for _, id := range ids {
		o, ok := g.outstanding[id]
		switch {
		case !ok || o.holder != r.s:
		case o.question != nil && o.question.open():
			o.inFlight = false
			g.outstanding[id] = o
		default:
			o.tracker.finish()
			delete(g.outstanding, id)
		}
	}
	r.s.credits += len(ids)
	if r.s.queue.count > 0 {
		r.s.signal()
	}
	g.checkIdle()
}

// EndedQuestions returns the deliveries that need no answer any more, because they were answered
// elsewhere or have expired. It returns each of them once.
func (r *Remote) EndedQuestions() (answered, expired []uint64) {
	g := r.s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, end := range r.ended {
		if end.reason == ReasonDeliveryAnswered {
			answered = append(answered, end.id)
		} else {
			expired = append(expired, end.id)
		}
	}
	r.ended = nil
	return answered, expired
}

// questionEnded notes that a delivery needs no answer any more. The caller holds the group's mu.
func (r *Remote) questionEnded(end endedQuestion) {
	r.ended = append(r.ended, end)
	r.transport.RemoteChanged(r)
}

// Answer applies an answer of the subscription. It ignores an answer that is late or that nothing
// waits for; the subscription's own node has told the backend so.
func (r *Remote) Answer(a Answer) {
	g := r.s.group
	g.mu.Lock()
	o, ok := g.outstanding[a.ID]
	ok = ok && o.holder == r.s && o.question != nil && o.question.decision == a.IsDecision
	if ok {
		delete(g.outstanding, a.ID) // it was handed out, whether Confirm said so or not
		g.checkIdle()
	}
	g.mu.Unlock()
	if ok {
		o.question.end(stateAnswered, answer{reply: a.Reply, decision: a.Decision})
	}
}

// Close ends the remote. Other members of the group take over what it leaves. Undelivered says that
// what is in flight certainly never reached the backend. Closing it again does nothing.
func (r *Remote) Close(undelivered bool) {
	r.s.group.mu.Lock()
	if r.s.err == nil {
		r.undelivered = undelivered
	}
	r.s.group.mu.Unlock()
	r.s.Close()
}

// DiscardRemote drops the events that match and that wait for members of other nodes, because
// other nodes have published them. Events that need an answer stay.
func (h *Hub) DiscardRemote(match func(*Event) bool) {
	for _, r := range h.routes.Load().groups {
		for _, m := range r.members {
			if m.remote != nil {
				m.discard(match)
			}
		}
	}
}

// discard drops events that match from the queue.
func (s *Subscription) discard(match func(*Event) bool) {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	for range s.queue.count {
		en := s.queue.pop()
		if en.question == nil && match(en.event) {
			en.tracker.finish()
		} else {
			s.queue.push(en)
		}
	}
	s.group.checkIdle()
}
