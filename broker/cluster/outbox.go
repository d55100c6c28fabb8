package cluster

import (
	"context"
	"sync"
	"time"
)

const (
	// outboxBytes bounds the messages that wait to be sent.
	outboxBytes = 32 << 20
	// batchMessages and batchBytes bound what the bus gets at once.
	batchMessages = 512
	batchBytes    = 4 << 20
	// publishTimeout bounds how long the bus may take for a batch.
	publishTimeout = 3 * time.Second
)

// outbox holds the messages that wait to be published: one queue for each lane of the bus. Any
// goroutine may add messages. For each lane, run has a goroutine that hands them to the bus in
// order.
type outbox struct {
	// Static.
	bus      Bus
	observer Observer
	peers    func() []string           // the channels that identify the other nodes
	wake     [Partitions]chan struct{} // each holds one token if its lane may have messages

	// Guarded by mu.
	mu     sync.Mutex
	lanes  [Partitions][]outgoing
	bytes  int // in all lanes
	closed bool
}

// outgoing is a message that waits to be published.
type outgoing struct {
	message Message
	// done is called with the receipt or the error; may be nil.
	done func(r Receipt, err error)
}

func newOutbox(bus Bus, observer Observer, peers func() []string) *outbox {
	o := &outbox{bus: bus, observer: observer, peers: peers}
	for i := range o.wake {
		o.wake[i] = make(chan struct{}, 1)
	}
	return o
}

// add appends all messages or none. Its error is [ErrUnavailable] or [ErrOverloaded].
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
		signal(o.wake[lane])
	}
	return nil
}

// size is the memory of a waiting message.
func (o *outgoing) size() int {
	return len(o.message.Payload) + len(o.message.Channel) + itemOverhead
}

// run publishes until ctx ends, and then what is left.
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
	for lane := range o.lanes { // added after the lane's goroutine had ended
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
	bytes, wanted := 0, false
	for i, item := range items {
		batch[i] = item.message
		bytes += len(item.message.Payload)
		wanted = wanted || item.done != nil
	}
	var peers []string // messages between clients rarely need receipts
	if wanted {
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
