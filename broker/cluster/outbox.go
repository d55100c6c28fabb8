package cluster

import (
	"context"
	"sync"
	"time"
)

const (
	// outboxBytes bounds what may wait to be sent.
	outboxBytes = 32 << 20
	// batchMessages and batchBytes bound what is handed to the bus at once.
	batchMessages = 512
	batchBytes    = 4 << 20
	// publishTimeout bounds how long the bus may take for it.
	publishTimeout = 3 * time.Second
)

// outbox is what waits to be published, in order. Any goroutine adds, and one,
// that of run, hands it to the bus.
type outbox struct {
	// Static.
	bus      Bus
	observer Observer
	peers    func() []string // the channels that the other nodes are known by
	wake     chan struct{}   // holds one token if there may be something

	// Guarded by mu.
	mu     sync.Mutex
	items  []outgoing
	bytes  int
	closed bool
}

type outgoing struct {
	message Message
	// done is told what became of it, or that it failed; may be nil.
	done func(r Receipt, err error)
}

func newOutbox(bus Bus, observer Observer, peers func() []string) *outbox {
	return &outbox{bus: bus, observer: observer, peers: peers, wake: make(chan struct{}, 1)}
}

// add appends messages, all or none.
func (o *outbox) add(items ...outgoing) error {
	if o.bus.State() != Connected {
		return ErrUnavailable
	}
	size := 0
	for _, item := range items {
		size += len(item.message.Payload) + len(item.message.Channel) + itemOverhead
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return ErrUnavailable
	case o.bytes+size > outboxBytes:
		return ErrOverloaded
	}
	o.bytes += size
	o.items = append(o.items, items...)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// run publishes until ctx ends, and then what is there still.
func (o *outbox) run(ctx context.Context) {
	last := context.WithoutCancel(ctx)
	for {
		select {
		case <-ctx.Done():
			o.mu.Lock()
			o.closed = true
			o.mu.Unlock()
			for o.flush(last) {
			}
			return
		case <-o.wake:
			for o.flush(last) {
			}
		}
	}
}

// flush publishes one batch and reports whether there may be more.
func (o *outbox) flush(ctx context.Context) bool {
	items := o.take()
	if len(items) == 0 {
		return false
	}
	batch := make([]Message, len(items))
	bytes, counted := 0, false
	for i, item := range items {
		batch[i] = item.message
		bytes += len(item.message.Payload)
		counted = counted || item.done != nil
	}
	var peers []string // nobody asks, as a rule where clients talk
	if counted {
		peers = o.peers()
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	receipts, err := o.bus.Publish(ctx, batch, peers)
	cancel()
	lost := 0
	for i, item := range items {
		failed := err
		if receipts[i].Receivers >= 0 {
			failed = nil
		} else {
			lost++
		}
		if item.done != nil {
			item.done(receipts[i], failed)
		}
	}
	o.observer.Published(len(items)-lost, bytes)
	if lost > 0 {
		o.observer.Lost(LostPublish, lost)
	}
	return true
}

// take removes the next batch.
func (o *outbox) take() []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := 0, 0
	for n < len(o.items) && n < batchMessages && (n == 0 || size < batchBytes) {
		size += len(o.items[n].message.Payload) + len(o.items[n].message.Channel) + itemOverhead
		n++
	}
	batch := o.items[:n:n]
	if n == len(o.items) {
		o.items = nil
	} else {
		o.items = o.items[n:]
	}
	o.bytes -= size
	return batch
}
