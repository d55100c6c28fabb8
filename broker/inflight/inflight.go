// Package inflight waits for operations that are under way, without holding any of them up.
package inflight

import (
	"context"
	"sync"
	"sync/atomic"
)

// Operations counts what is under way. The zero value is ready to use. Its methods may be called
// concurrently, and an operation may begin another one.
//
// Each operation counts in one of two counters, which take turns. Whoever waits has new operations
// use the other one, and waits until the first is empty. An operation may have chosen its counter
// long before it counts there, so both are emptied in turn.
type Operations struct {
	turn    atomic.Uint32
	counts  [2]count
	waiting atomic.Bool // somebody waits for a counter to become empty

	mu      sync.Mutex // held by who waits
	emptied chan struct{}
}

// count is a counter that shares no cache line with another one.
type count struct {
	atomic.Int64
	_ [56]byte
}

// Operation is one that is under way.
type Operation struct {
	all   *Operations
	count *count
}

// Begin says that an operation begins. [Operation.End] must follow.
func (o *Operations) Begin() Operation {
	c := &o.counts[o.turn.Load()&1]
	c.Add(1)
	return Operation{o, c}
}

// End says that the operation is over. It is called once.
func (op Operation) End() {
	if op.count.Add(-1) > 0 || !op.all.waiting.Load() {
		return
	}
	select {
	case op.all.emptied <- struct{}{}:
	default: // one sign is enough
	}
}

// Await waits until every operation is over that has begun before the call. It returns ctx's error
// if that ends first.
func (o *Operations) Await(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.emptied == nil {
		o.emptied = make(chan struct{}, 1)
	}
	o.waiting.Store(true) // before a counter is read, so that whoever empties it gives a sign
	defer o.waiting.Store(false)
	for range o.counts {
		old := &o.counts[(o.turn.Add(1)-1)&1]
		for old.Load() > 0 {
			select {
			case <-o.emptied:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}
