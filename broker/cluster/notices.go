package cluster

import (
	"context"
	"sync"
)

// notices tells the handler of changes in the membership, in order, from a
// goroutine that nothing waits for.
type notices struct {
	wake chan struct{}

	mu    sync.Mutex
	queue []func(Handler)
}

func newNotices() *notices { return &notices{wake: make(chan struct{}, 1)} }

// add appends a notice. There are at most a few for each node and heartbeat, so
// the queue is as long as the handler is slow.
func (n *notices) add(notice func(Handler)) {
	n.mu.Lock()
	n.queue = append(n.queue, notice)
	n.mu.Unlock()
	token(n.wake)
}

// run tells h until ctx ends.
func (n *notices) run(ctx context.Context, h Handler) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		n.mu.Lock()
		queue := n.queue
		n.queue = nil
		n.mu.Unlock()
		for _, notice := range queue {
			notice(h)
		}
	}
}
