package cluster

import (
	"context"
	"sync"
)

// notices tells the handler about membership changes, in order, on a goroutine of its own, so that
// a slow handler delays no messages.
type notices struct {
	wake chan struct{}

	mu    sync.Mutex
	queue []func(Handler)
}

func newNotices() *notices { return &notices{wake: make(chan struct{}, 1)} }

// add appends a notice. There are at most a few for each node and heartbeat, so the queue only
// grows while the handler is slow.
func (n *notices) add(notice func(Handler)) {
	n.mu.Lock()
	n.queue = append(n.queue, notice)
	n.mu.Unlock()
	signal(n.wake)
}

// run calls h until ctx ends.
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
