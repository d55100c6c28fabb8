package eventhub

import (
	"fmt"
	"sync/atomic"
)

// takeBytes is after how many bytes Take stops, so that whoever takes holds little more than what
// waits in the queue.
const takeBytes = 1 << 20

// Subscription is a member of a group. Its methods may be called concurrently, but Take by one
// goroutine at a time.
type Subscription struct {
	// Static.
	hub    *Hub
	group  *group
	id     uint64
	opts   SubscribeOptions
	filter matcher
	ready  chan struct{} // holds a token when there may be something to take
	done   chan struct{}
	remote *Remote       // if it represents a subscription of another node; nil otherwise
	share  *atomic.Int64 // what the members of its owner have reserved

	// Guarded by group.mu.
	credits int
	queue   queue
	// reserved bytes are what the queue may have; those beyond freeBytes are part of share.
	reserved int
	history  history
	sources  []*Source // of other nodes that have events for it
	err      *Error    // why it has ended; nil if it hasn't
}

// ID is unique among the subscriptions of the hub. Later subscriptions have higher ids.
func (s *Subscription) ID() uint64 { return s.id }

// Options returns the options that the subscription was made with. The caller must not change them.
func (s *Subscription) Options() SubscribeOptions { return s.opts }

// wants reports whether the member may get an event.
func (s *Subscription) wants(e *Event, deciding bool) bool {
	return (s.opts.Decide || !deciding) && s.filter.match(e.Kind, e.Namespace, e.Name)
}

// push queues an event. The caller holds group.mu.
func (s *Subscription) push(en entry) {
	s.queue.push(en)
	if s.credits > 0 {
		s.signal()
	}
}

// signal says that there may be something to take.
func (s *Subscription) signal() {
	if s.remote != nil {
		s.remote.transport.RemoteChanged(s.remote)
		return
	}
	notify(s.ready)
}

// notify leaves a token in a channel with room for one.
func notify(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// notifyPeers tells the transport that the subscription has ended. The caller holds group.mu.
func (s *Subscription) notifyPeers() {
	if s.remote != nil {
		s.remote.transport.RemoteChanged(s.remote)
	}
	for _, src := range s.sources {
		src.transport.SourceChanged(src)
	}
}

// Take hands out as many deliveries as there are, the slice has room for and credits allow, but not
// much more than 1 MiB. Each costs a credit. It doesn't wait: once it has returned 0, Ready says when
// there may be more. The
// error, an *[Error], says why the subscription has ended.
func (s *Subscription) Take(into []Delivery) (n int, err error) {
	s.group.mu.Lock()
	if s.err != nil {
		err = s.err
	}
	for bytes := 0; err == nil && n < len(into) && bytes < takeBytes && s.credits > 0 && s.queue.count > 0; {
		en := s.queue.pop()
		bytes += en.size
		d, ok := s.handOut(en)
		if ok {
			into[n] = d
			n++
			s.credits--
		}
	}
	s.unreserve()
	s.group.checkIdle()
	s.group.mu.Unlock()
	if s.remote == nil {
		s.observe(into[:n])
	}
	return n, err
}

// handOut makes a delivery of an entry. It returns false if nobody needs the entry any more: its
// source withdrew it, or its question has ended and is about a decision or was handed out before.
// The caller holds group.mu.
func (s *Subscription) handOut(en entry) (d Delivery, ok bool) {
	if en.source != nil {
		en.source.take()
		if en.source.stopped {
			return Delivery{}, false
		}
	}
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
		// A node that is lost twice gives a Disconnect the same id twice.
		s.group.outstanding[en.id].tracker.finish()
		s.group.outstanding[en.id] = outstanding{entry: en, holder: s, inFlight: s.remote != nil}
	}
	if s.remote == nil {
		en.tracker.finish()
	}
	return d, true
}

// observe counts what was handed out, with one call for each run of the same kind.
func (s *Subscription) observe(taken []Delivery) {
	n := 0
	for i, d := range taken {
		n++
		if i+1 < len(taken) {
			next := taken[i+1]
			if next.Event.Kind == d.Event.Kind && next.Redelivered == d.Redelivered {
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

// Err says why the subscription has ended: nil if it hasn't, an *[Error] otherwise.
func (s *Subscription) Err() error {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return s.err
}

// Credit grants n more events. A grant above [Options.MaxCredits] in all is refused as a whole. The
// error is an *[Error].
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

// checkCredits refuses a grant with which a member would have more credits than the maximum.
func (h *Hub) checkCredits(n, unused int) error {
	if n < 0 || n+unused > h.opts.MaxCredits {
		return &Error{
			Reason:  ReasonInvalid,
			Field:   "credits",
			Message: fmt.Sprintf("this makes %d credits; at most %d may be unused", n+unused, h.opts.MaxCredits),
		}
	}
	return nil
}

// Reply answers a delivery that has NeedsAck. The error is an *[Error]. With a ReasonDelivery…
// reason the reply had no effect; any other reason says why the subscription has ended.
func (s *Subscription) Reply(id uint64, r Reply) error {
	return s.answer(id, false, answer{reply: r})
}

// Decide answers a delivery that has NeedsDecision. Its errors are those of Reply.
func (s *Subscription) Decide(id uint64, d Decision) error {
	return s.answer(id, true, answer{decision: d})
}

func (s *Subscription) answer(id uint64, decision bool, a answer) error {
	q, err := s.questionOf(id)
	if err != nil {
		return err
	}
	if q.decision != decision {
		return rejection(id, ReasonDeliveryMismatch)
	}
	ended := q.end(stateAnswered, a)
	if !ended { // another group was faster, or the deadline
		return rejection(id, q.outcome())
	}
	return nil
}

// questionOf returns the question of a delivery that the member was handed.
func (s *Subscription) questionOf(id uint64) (*question, error) {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if o, ok := s.group.outstanding[id]; ok && o.holder == s {
		return o.question, nil
	}
	return nil, rejection(id, s.history.find(id))
}

// Close ends the subscription. Other members of its group take over what it leaves. Closing it
// again does nothing.
func (s *Subscription) Close() {
	var after aftermath
	s.group.mu.Lock()
	if s.err == nil {
		s.group.remove(s, newError(ReasonClosed), &after)
	}
	s.group.mu.Unlock()
	after.finish(s.hub)
}
