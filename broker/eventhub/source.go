package eventhub

// Source is another node's hub, as far as it has events for one subscription of
// this node: what stands behind a [Remote] there. What it offers goes to this
// subscription and to none of its mates here; if the subscription ends, the
// other node hands over what is left.
//
// Its methods may be called concurrently.
type Source struct {
	// Static.
	s      *Subscription
	bell   *Bell
	answer func(Answer)

	// Guarded by the group's mu.
	taken   uint64
	stopped bool
	open    map[uint64]*question // by the other node's ids
}

// Answer is what a subscription has answered to a delivery that a source has
// offered.
type Answer struct {
	// ID is the delivery's, as it was offered.
	ID uint64
	// Decides says which of the two it is.
	Decides  bool
	Reply    Reply
	Decision Decision
}

// From lets another node offer events to a subscription. The bell is rung when
// the subscription has taken some of them, and when it has ended; answer is called
// with each answer, from any goroutine, and must be quick.
func (s *Subscription) From(bell *Bell, answer func(Answer)) *Source {
	src := &Source{s: s, bell: bell, answer: answer, open: make(map[uint64]*question)}
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.sources = append(s.sources, src)
	if s.err != nil {
		bell.ringFor(src)
	}
	return src
}

// Offer queues a delivery of the other node, and reports whether it did. It does
// not once the subscription has ended, as one does that has no room, nor
// while the hub is draining.
func (src *Source) Offer(d Delivery) bool {
	s, h := src.s, src.s.hub
	en := entry{id: h.lastID.Add(1), event: d.Event, redelivered: d.Redelivered, size: d.Event.size(), source: src}
	if d.NeedsAck || d.NeedsDecision {
		en.question = src.ask(en.id, &d)
	}
	var after aftermath
	s.group.mu.Lock()
	ok := s.err == nil && !src.stopped && !h.draining.Load()
	if ok && !s.queue.fits(&en, h.opts.MaxQueuedEvents, h.opts.MaxQueuedBytes) {
		s.group.remove(s, failed(ReasonSlowSubscriber), &after)
		ok = false
	}
	if ok {
		s.push(en)
		if en.question != nil {
			src.open[d.ID] = en.question
			h.deadlines.add(en.question)
		}
	}
	s.group.mu.Unlock()
	after.settle(h)
	return ok
}

// ask makes the question of a delivery. How long its client waits is the other
// node's business; the deadline here only ends what has been forgotten.
func (src *Source) ask(id uint64, d *Delivery) *question {
	theirs, decides := d.ID, d.NeedsDecision
	q := &question{
		hub:      src.s.hub,
		id:       id,
		kind:     d.Event.Kind,
		offered:  true,
		decision: decides,
		groups:   []*group{src.s.group},
		tell:     func(a answer) { src.tell(theirs, decides, a) },
	}
	q.waiting.Store(1)
	return q
}

// tell passes an answer on. That there is none the other node finds out itself.
func (src *Source) tell(id uint64, decides bool, a answer) {
	src.s.group.mu.Lock()
	delete(src.open, id)
	src.s.group.mu.Unlock()
	if a.err == nil {
		src.answer(Answer{ID: id, Decides: decides, Reply: a.reply, Decision: a.decision})
	}
}

// Over says that deliveries need no answer any more, because they have been
// answered elsewhere or have expired.
func (src *Source) Over(answered, expired []uint64) {
	for _, q := range src.asked(answered) {
		q.end(stateAnswered, answer{err: failed(ReasonHandlerLost)})
	}
	for _, q := range src.asked(expired) {
		q.expire()
	}
}

func (src *Source) asked(ids []uint64) (questions []*question) {
	src.s.group.mu.Lock()
	defer src.s.group.mu.Unlock()
	for _, id := range ids {
		if q, ok := src.open[id]; ok {
			questions = append(questions, q)
		}
	}
	return questions
}

// take counts an entry that leaves the queue, and reports whether it is to be
// handed out. The caller holds the group's mu.
func (src *Source) take() bool {
	src.taken++
	src.bell.ringFor(src)
	return !src.stopped
}

// Taken returns how many of the deliveries that were offered have left the
// queue, in the order in which they were offered, and whether the subscription
// has ended: then no more will, and those that haven't never got to anybody.
func (src *Source) Taken() (n uint64, ended bool) {
	src.s.group.mu.Lock()
	defer src.s.group.mu.Unlock()
	return src.taken, src.s.err != nil
}

// Stop takes back what hasn't been taken, and is the end of the source: the
// other node has taken the subscription for lost. Slow says why: it couldn't keep
// up, and is cut.
func (src *Source) Stop(slow bool) {
	src.forget()
	g := src.s.group
	var after aftermath
	g.mu.Lock()
	src.stopped = true
	var all []uint64
	for id := range src.open {
		all = append(all, id)
	}
	if slow && src.s.err == nil {
		g.remove(src.s, failed(ReasonSlowSubscriber), &after)
	}
	g.mu.Unlock()
	after.settle(src.s.hub)
	src.Over(nil, all)
}

// Leave is the end of a source whose node is gone. What it has offered is still
// handed out; nobody hears the answers.
func (src *Source) Leave() { src.forget() }

// forget has the subscription think of the source no more.
func (src *Source) forget() {
	s := src.s
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	for i, other := range s.sources {
		if other == src {
			s.sources = append(s.sources[:i], s.sources[i+1:]...)
			return
		}
	}
}

// Subscriptions returns those of this node, without those that stand for others.
func (h *Hub) Subscriptions() []*Subscription {
	var all []*Subscription
	for _, r := range h.routes.Load().groups {
		for _, m := range r.members {
			if m.remote == nil {
				all = append(all, m)
			}
		}
	}
	return all
}

// WantsKind reports whether anybody wants events of a kind in any namespace. It
// takes no lock.
func (h *Hub) WantsKind(kind Kind) bool { return h.routes.Load().kinds[kind] }

// Watch returns a channel that gets a value when subscriptions have come or gone.
func (h *Hub) Watch() <-chan struct{} {
	w := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, w)
	return w
}
