package eventhub

import "fmt"

// Subscription is a member of a group. Its methods may be called concurrently,
// but Take by one goroutine at a time.
type Subscription struct {
	// Static.
	hub    *Hub
	group  *group
	id     uint64
	start  Start
	filter matcher
	decide bool
	ready  chan struct{} // holds a token when there may be something to take
	done   chan struct{}
	remote *Remote // what stands for one of another node; nil for this node's

	// Guarded by group.mu.
	credits int
	queue   queue
	history history
	sources []*Source // other nodes that have events for it
	err     *Error    // why it has ended; nil if it hasn't
}

// ID names the subscription among those of its hub.
func (s *Subscription) ID() uint64 { return s.id }

// Start returns what the subscription was started with. The caller must not
// change it.
func (s *Subscription) Start() Start { return s.start }

// wants reports whether the member may get an event.
func (s *Subscription) wants(e *Event, deciding bool) bool {
	return (s.decide || !deciding) && s.filter.match(e.Kind, e.Namespace, e.Name)
}

// push queues an event. The caller holds group.mu.
func (s *Subscription) push(en entry) {
	s.queue.push(en)
	if s.credits > 0 {
		s.signal()
	}
}

func (s *Subscription) signal() {
	if s.remote != nil {
		s.remote.bell.ringFor(s.remote)
		return
	}
	ring(s.ready)
}

// ring leaves a token in a channel with room for one.
func ring(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// ended tells those that have to do with other nodes. The caller holds group.mu.
func (s *Subscription) ended() {
	if s.remote != nil {
		s.remote.bell.ringFor(s.remote)
	}
	for _, src := range s.sources {
		src.bell.ringFor(src)
	}
}

// Take hands out what may be handed out, as much as there is room for, without
// waiting. It costs a credit each. Once it has returned 0, Ready says when there
// may be more. The error, an *[Error], says why the subscription has ended.
func (s *Subscription) Take(into []Delivery) (n int, err error) {
	s.group.mu.Lock()
	if s.err != nil {
		err = s.err
	}
	for err == nil && n < len(into) && s.credits > 0 && s.queue.count > 0 {
		en := s.queue.pop()
		if en.source != nil && !en.source.take() {
			continue
		}
		if d, ok := s.hand(en); ok {
			into[n] = d
			n++
			s.credits--
		}
	}
	s.group.checkSettled()
	s.group.mu.Unlock()
	if s.remote == nil {
		s.observe(into[:n])
	}
	return n, err
}

// hand makes an entry a delivery, unless it has become pointless: a decision
// that is made, or an event that a lost member had already and whose client
// was answered since. The caller holds group.mu.
func (s *Subscription) hand(en entry) (d Delivery, ok bool) {
	d = Delivery{ID: en.id, Event: en.event, Redelivered: en.redelivered}
	q := en.question
	switch {
	case q == nil:
	case q.open():
		d.NeedsAck, d.NeedsDecision = !q.decision, q.decision
	case q.decision || en.redelivered:
		return Delivery{}, false
	}
	if d.NeedsAck || d.NeedsDecision || s.remote != nil {
		s.group.open[en.id] = held{entry: en, holder: s, onTheWay: s.remote != nil}
	}
	if s.remote == nil {
		en.tracked.settle()
	}
	return d, true
}

// observe counts what was handed out, with one call for a run of the same kind.
func (s *Subscription) observe(taken []Delivery) {
	n := 0
	for i, d := range taken {
		n++
		if i+1 < len(taken) {
			if next := taken[i+1]; next.Event.Kind == d.Event.Kind && next.Redelivered == d.Redelivered {
				continue
			}
		}
		s.hub.opts.Observer.EventsDelivered(d.Event.Kind, d.Redelivered, n)
		n = 0
	}
}

// Ready returns a channel that gets a value when there may be something to take.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Done returns a channel that is closed when the subscription has ended.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Err says why the subscription has ended: nil if it hasn't, an *[Error]
// otherwise.
func (s *Subscription) Err() error {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return s.err
}

// Credit lets n more events come. The error is an *[Error]; a grant that would
// owe the member more than [Options.MaxCredits] is refused as a whole.
func (s *Subscription) Credit(n int) error {
	if n <= 0 {
		return &Error{Reason: ReasonInvalid, Field: "credits", Message: "grant at least one credit"}
	}
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if err := s.hub.checkCredits(n, s.credits); err != nil {
		return err
	}
	s.credits += n
	if s.queue.count > 0 {
		s.signal()
	}
	return nil
}

// checkCredits refuses to owe a member more than the maximum.
func (h *Hub) checkCredits(n int, owed ...int) error {
	total := n
	for _, o := range owed {
		total += o
	}
	if n < 0 || total > h.opts.MaxCredits {
		return &Error{
			Reason:  ReasonInvalid,
			Field:   "credits",
			Message: fmt.Sprintf("%d events would be owed; at most %d may be", total, h.opts.MaxCredits),
		}
	}
	return nil
}

// Reply answers a delivery that has NeedsAck. The error is an *[Error] whose reason
// is one of ReasonDelivery…, and then the reply has had no effect, or the one with
// which the subscription has ended.
func (s *Subscription) Reply(id uint64, r Reply) error {
	return s.answer(id, false, answer{reply: r})
}

// Decide answers a delivery that has NeedsDecision. Its errors are those of
// Reply.
func (s *Subscription) Decide(id uint64, d Decision) error {
	return s.answer(id, true, answer{decision: d})
}

func (s *Subscription) answer(id uint64, decision bool, a answer) error {
	q, err := s.asked(id)
	switch {
	case err != nil:
		return err
	case q.decision != decision:
		return unusable(id, ReasonDeliveryMismatch)
	case !q.end(stateAnswered, a): // another group was quicker
		return unusable(id, q.outcome())
	}
	return nil
}

// asked returns the question that a delivery is about.
func (s *Subscription) asked(id uint64) (*question, error) {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if o, ok := s.group.open[id]; ok && o.holder == s {
		return o.question, nil
	}
	return nil, unusable(id, s.history.find(id))
}

// Close ends the subscription. Its group mates take over what it leaves.
// Closing it again does nothing.
func (s *Subscription) Close() {
	var after aftermath
	s.group.mu.Lock()
	if s.err == nil {
		s.group.remove(s, failed(ReasonClosed), &after)
	}
	s.group.mu.Unlock()
	after.settle(s.hub)
}
