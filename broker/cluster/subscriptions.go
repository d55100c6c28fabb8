package cluster

import (
	"context"
	"sync"
	"time"
)

// subscriptions counts how often this node wants each topic, so that the bus sees only the first
// subscription and the last cancellation.
type subscriptions struct {
	// Static.
	bus       Bus
	channel   func(Topic) string
	effective <-chan struct{} // always closed: there is nothing to wait for

	mu     sync.Mutex
	counts map[Topic]int // never zero
}

func newSubscriptions(bus Bus, channel func(Topic) string) *subscriptions {
	effective := make(chan struct{})
	close(effective)
	return &subscriptions{bus: bus, channel: channel, effective: effective, counts: make(map[Topic]int)}
}

// add changes the count of a topic and returns a channel that closes when the subscription is
// effective.
//
// The count may be negative for a moment: the Unsubscribe of a member that leaves may overtake the
// Subscribe of the one that joined before it. Only the sum matters.
func (s *subscriptions) add(topic Topic, n int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.counts[topic]
	after := before + n
	if after == 0 {
		delete(s.counts, topic)
	} else {
		s.counts[topic] = after
	}
	switch {
	case after > 0 && n > 0:
		// Also if the bus has subscribed already: that may not be effective yet.
		return s.bus.Subscribe(s.channel(topic))
	case after <= 0 && before > 0:
		s.bus.Unsubscribe(s.channel(topic))
	}
	return s.effective
}

// active reports whether the topic is wanted and its subscription is effective.
func (s *subscriptions) active(topic Topic) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[topic] <= 0 {
		return false
	}
	select {
	case <-s.bus.Subscribe(s.channel(topic)): // the bus has subscribed already: this changes nothing
		return true
	default:
		return false
	}
}

// Subscribe asks for what other nodes publish to topic, until [Mesh.Unsubscribe] has been called as
// often as Subscribe: call one for every member that joins and the other for every member that
// leaves. The calls for different members may come in any order. Subscribe never waits.
//
// Once the returned channel is closed, what other nodes publish arrives here. Before that nothing
// does, nor from a disconnect of the bus until a later Subscribe's channel for the same topic is
// closed. To promise a client that it misses nothing after its join, wait with [Mesh.Await].
func (m *Mesh) Subscribe(topic Topic) (effective <-chan struct{}) {
	return m.subscriptions.add(topic, 1)
}

// Unsubscribe takes back one [Mesh.Subscribe] of topic. It never waits; messages on their way still
// arrive.
func (m *Mesh) Unsubscribe(topic Topic) { m.subscriptions.add(topic, -1) }

// Await waits until all of the subscriptions are effective. It returns [ErrUnavailable] as soon as
// the bus is disconnected: a client that joins then has joined this node, and gets messages of
// other nodes when the bus is back. It returns [context.DeadlineExceeded] after timeout.
func (m *Mesh) Await(timeout time.Duration, effective ...<-chan struct{}) error {
	late := time.NewTimer(timeout)
	defer late.Stop()
	for _, e := range effective {
		select {
		case <-e:
			continue
		default:
		}
		select {
		case <-e:
		case <-m.down():
			return ErrUnavailable
		case <-late.C:
			return context.DeadlineExceeded
		}
	}
	return nil
}
