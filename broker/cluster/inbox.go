package cluster

import (
	"context"
	"sync"
)

// Inbox is what a bus has received and its receiver hasn't taken yet, bounded
// in bytes. It is for implementations of [Bus]: any goroutine adds, and one,
// that of [Inbox.Run], hands out.
type Inbox struct {
	// Static.
	maxBytes int
	wake     chan struct{} // holds one token if there may be something

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

// itemOverhead is what a message costs in memory beside its bytes, about.
const itemOverhead = 96

// NewInbox returns an inbox that holds maxBytes of messages.
func NewInbox(maxBytes int) *Inbox {
	return &Inbox{maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

// Add appends a message, or counts it as lost if the inbox is full.
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
	in.signal()
}

// AddState appends a change of state, which is never lost.
func (in *Inbox) AddState(s State) {
	in.mu.Lock()
	in.items = append(in.items, inboxItem{state: s})
	in.mu.Unlock()
	in.signal()
}

func (in *Inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Run hands everything to r until ctx ends.
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
			in.handOut(r, batch[i])
			batch[i] = inboxItem{}
		}
	}
}

// handOut gives one item to r and then its bytes back: what r hasn't finished
// counts.
func (in *Inbox) handOut(r Receiver, item inboxItem) {
	if item.message.Channel == "" {
		r.StateChanged(item.state)
		return
	}
	r.Received(item.message)
	in.mu.Lock()
	in.bytes -= len(item.message.Channel) + len(item.message.Payload) + itemOverhead
	in.mu.Unlock()
}

// take swaps what has arrived for an empty slice, the one handed out before.
func (in *Inbox) take(empty []inboxItem) ([]inboxItem, int) {
	if cap(empty) > 4096 {
		empty = nil // a burst's
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	full, lost := in.items, in.lost
	in.items, in.lost = empty[:0], 0
	return full, lost
}
