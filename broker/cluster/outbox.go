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

// outbox is what waits to be published, in lanes, each in order. Any goroutine
// adds, and one for each lane, of those that run starts, hands it to the bus.
type outbox struct {
	// Static.
	bus      Bus
	observer Observer
	peers    func() []string           // the channels that the other nodes are known by
	wake     [Partitions]chan struct{} // hold one token if there may be something

	// Guarded by mu.
	mu     sync.Mutex
	lanes  [Partitions][]outgoing
	bytes  int // of all
	closed bool
}

type outgoing struct {
	message Message
	// done is told what became of it, or that it failed; may be nil.
	done func(r Receipt, err error)
}

func newOutbox(bus Bus, observer Observer, peers func() []string) *outbox {
	o := &outbox{bus: bus, observer: observer, peers: peers}
	for i := range o.wake {
		o.wake[i] = make(chan struct{}, 1)
	}
	return o
}

// add appends messages, all or none.
func (o *outbox) add(items ...outgoing) error {
	if o.bus.State() != Connected {
		return ErrUnavailable
	}
	size := 0
	for _, item := range items {
		size += item.size()
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
	for _, item := range items {
		lane := o.bus.Lane(item.message.Channel)
		o.lanes[lane] = append(o.lanes[lane], item)
		token(o.wake[lane])
	}
	return nil
}

// size is what a message costs while it waits.
func (o *outgoing) size() int {
	return len(o.message.Payload) + len(o.message.Channel) + itemOverhead
}

// run publishes until ctx ends, and then what is there still.
func (o *outbox) run(ctx context.Context) {
	last := context.WithoutCancel(ctx)
	var running sync.WaitGroup
	for lane := range o.lanes {
		running.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-o.wake[lane]:
				}
				for o.flush(last, lane) {
				}
			}
		})
	}
	<-ctx.Done()
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	running.Wait()
	for lane := range o.lanes { // what came in between
		for o.flush(last, lane) {
		}
	}
}

// flush publishes one batch of a lane and reports whether there may be more.
func (o *outbox) flush(ctx context.Context, lane int) bool {
	items := o.take(lane)
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

// take removes the next batch of a lane.
func (o *outbox) take(lane int) []outgoing {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.lanes[lane]
	n, size := 0, 0
	for n < len(items) && n < batchMessages && (n == 0 || size < batchBytes) {
		size += items[n].size()
		n++
	}
	if n == len(items) {
		o.lanes[lane] = nil
	} else {
		o.lanes[lane] = items[n:]
	}
	o.bytes -= size
	return items[:n:n]
}
