package cluster

import (
	"context"
	"errors"
	"sync"
	"time"
)

// interests counts who wants which topic, so that the bus is told of the first
// and the last only.
type interests struct {
	bus     Bus
	channel func(Topic) string
	never   <-chan struct{} // closed: there is nothing to wait for

	mu     sync.Mutex
	topics map[Topic]*interest
}

// interest is how often a topic is wanted.
type interest struct{ count int }

func newInterests(bus Bus, channel func(Topic) string) *interests {
	never := make(chan struct{})
	close(never)
	return &interests{bus: bus, channel: channel, never: never, topics: make(map[Topic]*interest)}
}

// add changes the count of a topic and returns when the interest is effective.
//
// The count may fall below zero for a moment: one who leaves a room may be
// here before the one who made it necessary has come. Only the sum matters.
func (x *interests) add(topic Topic, n int) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	i, ok := x.topics[topic]
	if !ok {
		i = &interest{}
		x.topics[topic] = i
	}
	before := i.count
	i.count += n
	if i.count == 0 {
		delete(x.topics, topic)
	}
	switch {
	case i.count > 0 && n > 0:
		// Also if it is wanted already: it may not be effective yet.
		return x.bus.Subscribe(x.channel(topic))
	case i.count <= 0 && before > 0:
		x.bus.Unsubscribe(x.channel(topic))
	}
	return x.never // whoever asked has left already
}

// hears reports whether the topic is wanted and the bus has subscribed to it.
func (x *interests) hears(topic Topic) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	i, ok := x.topics[topic]
	if !ok || i.count <= 0 {
		return false
	}
	select {
	case <-x.bus.Subscribe(x.channel(topic)): // which changes nothing, as it is wanted
		return true
	default:
		return false
	}
}

// len returns how many topics are wanted.
func (x *interests) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.topics)
}

// Interest asks for what other nodes publish to topic, until [Mesh.Drop] has been
// called as often as Interest: call one for every member that joins and the
// other for every one that leaves, in whatever order the calls of different
// members come. It never waits.
//
// What other nodes publish once the channel that it returns is closed arrives
// here. Before, and from a disconnect of the bus until the next channel of the
// same topic is closed, it doesn't. So to promise a client that has joined that
// it hears everything from now on, wait for it: see [Mesh.Await].
func (m *Mesh) Interest(topic Topic) (effective <-chan struct{}) {
	return m.interests.add(topic, 1)
}

// Drop takes one [Mesh.Interest] in topic back. It never waits; what is on its
// way still arrives.
func (m *Mesh) Drop(topic Topic) { m.interests.add(topic, -1) }

// Topics returns in how many topics this node is interested.
func (m *Mesh) Topics() int { return m.interests.len() }

// Await waits until all of the interests are effective. It returns
// [ErrUnavailable] as soon as the bus is disconnected: who joins then has
// joined this node, and hears other nodes once the bus is back. It returns
// ctx's error if that ends first.
func (m *Mesh) Await(ctx context.Context, effective ...<-chan struct{}) error {
	if err := await(m, ctx.Done(), effective); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

// AwaitFor is [Mesh.Await] that waits so long at the most, and then returns
// [context.DeadlineExceeded].
func (m *Mesh) AwaitFor(timeout time.Duration, effective ...<-chan struct{}) error {
	late := time.NewTimer(timeout)
	defer late.Stop()
	return await(m, late.C, effective)
}

// await waits until over, when it returns [context.DeadlineExceeded].
func await[T any](m *Mesh, over <-chan T, effective []<-chan struct{}) error {
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
		case <-over:
			return context.DeadlineExceeded
		}
	}
	return nil
}
