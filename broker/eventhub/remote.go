package eventhub

import "slices"

// Remote stands, in this hub, for a subscription of another node: a member of a
// group like any other, but one that gets only what no member of this node
// wants. Whoever takes from it brings the events to that node, where a [Source]
// offers them to the subscription itself, and brings back what becomes of them.
//
// What has been taken is on its way until Handed. If the remote ends before,
// its group mates get it: unmarked if it is known that nobody has had it, and
// otherwise marked Redelivered, whether it needs an answer or not.
//
// Its methods may be called concurrently, but Take by one goroutine at a time.
type Remote struct {
	s    *Subscription
	bell *Bell

	// Guarded by the group's mu.
	over      []ended // questions that have ended since the last call of Over
	untouched bool    // what is on its way never got there
}

// Represent adds a member that stands for a subscription of another node,
// started there with start, whose credits are how many events may be on their
// way. It rings bell when there is something to take or to tell, and when it has
// ended. The error is an *[Error].
func (h *Hub) Represent(start Start, bell *Bell) (*Remote, error) {
	if err := h.check(start); err != nil {
		return nil, err
	}
	s := h.newSubscription(start)
	s.remote = &Remote{s: s, bell: bell}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining.Load():
		return nil, failed(ReasonDraining)
	case h.remotes >= h.opts.MaxRemotes:
		return nil, tooMany()
	}
	// Here and there a name may stand for observers and for others: then those are two
	// groups. Nobody could be told that it doesn't fit.
	i := slices.IndexFunc(h.groups, func(g *group) bool {
		return g.name != "" && g.name == start.Group && g.observes == start.Observe
	})
	h.remotes++
	if i >= 0 {
		h.enter(s, h.groups[i])
	} else {
		h.enter(s, h.newGroup(start.Group, start.Observe))
	}
	return s.remote, nil
}

// Take hands out what may be on its way, as [Subscription.Take] does. The
// deliveries' ids name them in the other methods.
func (r *Remote) Take(into []Delivery) (int, error) { return r.s.Take(into) }

// Err says why the remote has ended, as [Subscription.Err] does.
func (r *Remote) Err() error { return r.s.Err() }

// Handed says that the subscription has been handed these deliveries, and lets
// as many others come.
func (r *Remote) Handed(ids ...uint64) {
	g := r.s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.s.err != nil {
		return
	}
	for _, id := range ids {
		o, ok := g.open[id]
		switch {
		case !ok || o.holder != r.s:
		case o.question != nil && o.question.open():
			o.onTheWay = false
			g.open[id] = o
		default:
			o.tracked.settle()
			delete(g.open, id)
		}
	}
	r.s.credits += len(ids)
	if r.s.queue.count > 0 {
		r.s.signal()
	}
	g.checkSettled()
}

// Over returns the deliveries that need no answer any more, because the question
// was answered elsewhere or has expired; each once.
func (r *Remote) Over() (answered, expired []uint64) {
	g := r.s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, end := range r.over {
		if end.reason == ReasonDeliveryAnswered {
			answered = append(answered, end.id)
		} else {
			expired = append(expired, end.id)
		}
	}
	r.over = nil
	return answered, expired
}

// pointless notes that a delivery needs no answer any more. The caller holds the
// group's mu.
func (r *Remote) pointless(end ended) {
	r.over = append(r.over, end)
	r.bell.ringFor(r)
}

// Answer brings the answer of the subscription. One that comes too late, or that
// answers nothing, is ignored: the subscription's own node has told it so.
func (r *Remote) Answer(a Answer) {
	g := r.s.group
	g.mu.Lock()
	o, ok := g.open[a.ID]
	ok = ok && o.holder == r.s && o.question != nil && o.question.decision == a.Decides
	if ok {
		delete(g.open, a.ID) // it has been handed out, whatever Handed says
		g.checkSettled()
	}
	g.mu.Unlock()
	if ok {
		o.question.end(stateAnswered, answer{reply: a.Reply, decision: a.Decision})
	}
}

// Close ends the remote. Its group mates take over what it leaves. Untouched says
// for certain that what is on its way never got there. Closing it again does
// nothing.
func (r *Remote) Close(untouched bool) {
	r.s.group.mu.Lock()
	if r.s.err == nil {
		r.untouched = untouched
	}
	r.s.group.mu.Unlock()
	r.s.Close()
}

// DropRemote drops what waits for members of other nodes and that drop says: other
// nodes have published it.
func (h *Hub) DropRemote(drop func(*Event) bool) {
	for _, r := range h.routes.Load().groups {
		for _, m := range r.members {
			if m.remote != nil {
				m.drop(drop)
			}
		}
	}
}

// drop takes events out of the queue.
func (s *Subscription) drop(drop func(*Event) bool) {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	for range s.queue.count {
		if en := s.queue.pop(); en.question == nil && drop(en.event) {
			en.tracked.settle()
		} else {
			s.queue.push(en)
		}
	}
	s.group.checkSettled()
}
