package cluster

import (
	"context"
	"sync"
)

// Inbox is a bounded queue of the messages that a bus has received. It is for implementations of
// [Bus]: any goroutine may add messages, and [Inbox.Run] passes them to the receiver on its own.
type Inbox struct {
	// Static.
	maxBytes int
	wake     chan struct{} // holds one token if there may be items

	// Guarded by mu.
	mu    sync.Mutex
	items []inboxItem
	bytes int
	lost  int
}

// inboxItem is a message, or a change of state if channel is empty.
type inboxItem struct {
	message Message
	state   State
}

// itemOverhead is about the memory of a message beside its bytes.
const itemOverhead = 96

// NewInbox returns an inbox that holds up to maxBytes.
func NewInbox(maxBytes int) *Inbox {
	return &Inbox{maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

// Add appends a message. If the inbox is full, it counts the message as lost.
func (in *Inbox) Add(m Message) {
	size := len(m.Channel) + len(m.Payload) + itemOverhead
	in.mu.Lock()
	if in.bytes+size > in.maxBytes {
		in.lost++
	} else {
		in.bytes += size
		in.items = append(in.items, inboxItem{message: m})
	}
	in.mu.Unlock()
	signal(in.wake)
}

// AddState appends a change of state, which is never lost.
func (in *Inbox) AddState(s State) {
	in.mu.Lock()
	in.items = append(in.items, inboxItem{state: s})
	in.mu.Unlock()
	signal(in.wake)
}

// Run passes everything to r until ctx ends.
func (in *Inbox) Run(ctx context.Context, r Receiver) {
	var batch []inboxItem
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.wake:
		}
		var lost int
		batch, lost = in.take(batch)
		if lost > 0 {
			r.Lost(lost)
		}
		for i := range batch {
			if ctx.Err() != nil {
				return
			}
			in.pass(r, batch[i])
			batch[i] = inboxItem{}
		}
	}
}

// pass passes one item to r, and frees its bytes when r has returned.
func (in *Inbox) pass(r Receiver, item inboxItem) {
	if item.message.Channel == "" {
		r.StateChanged(item.state)
		return
	}
	r.Received(item.message)
	in.mu.Lock()
	in.bytes -= len(item.message.Channel) + len(item.message.Payload) + itemOverhead
	in.mu.Unlock()
}

// take returns the items and continues with an empty slice, the one that it returned before.
func (in *Inbox) take(empty []inboxItem) ([]inboxItem, int) {
	if cap(empty) > 4096 {
		empty = nil // don't keep the memory of a burst
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	full, lost := in.items, in.lost
	in.items, in.lost = empty[:0], 0
	return full, lost
}
