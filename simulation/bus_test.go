package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// delayedBus is a node's bus. Messages arrive after a delay, in order. Once the node
// is killed, nothing goes either way.
type delayedBus struct {
	cluster.Bus
	delay time.Duration // the longest

	mu     sync.Mutex
	rnd    *rand.Rand
	killed bool
}

func (b *delayedBus) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.killed = true
}

func (b *delayedBus) dead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.killed
}

// Publish implements [cluster.Bus].
func (b *delayedBus) Publish(ctx context.Context, batch []cluster.Message, peers []string) ([]cluster.Receipt, error) {
	if b.dead() {
		receipts := make([]cluster.Receipt, len(batch))
		for i := range receipts {
			receipts[i].Receivers = -1
		}
		return receipts, cluster.ErrUnavailable
	}
	return b.Bus.Publish(ctx, batch, peers)
}

// Put implements [cluster.Bus].
func (b *delayedBus) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	if b.dead() {
		return cluster.ErrUnavailable
	}
	return b.Bus.Put(ctx, table, key, value, ttl)
}

// Remove implements [cluster.Bus].
func (b *delayedBus) Remove(ctx context.Context, table, key string) error {
	if b.dead() {
		return cluster.ErrUnavailable
	}
	return b.Bus.Remove(ctx, table, key)
}

// Run implements [cluster.Bus].
func (b *delayedBus) Run(ctx context.Context, r cluster.Receiver) error {
	if b.delay == 0 {
		return b.Bus.Run(ctx, &killableReceiver{Receiver: r, bus: b})
	}
	late := &lateReceiver{bus: b, to: r}
	late.filled.L = &late.mu
	var waiting sync.WaitGroup
	waiting.Go(late.run)
	defer waiting.Wait()
	defer late.stop()
	return b.Bus.Run(ctx, late)
}

// killableReceiver gets nothing once its node is killed.
type killableReceiver struct {
	cluster.Receiver
	bus *delayedBus
}

// Received implements [cluster.Receiver].
func (r *killableReceiver) Received(m cluster.Message) {
	if !r.bus.dead() {
		r.Receiver.Received(m)
	}
}

// lateReceiver passes everything on after a delay.
type lateReceiver struct {
	bus *delayedBus
	to  cluster.Receiver

	mu      sync.Mutex
	filled  sync.Cond
	queue   []late
	stopped bool
}

// late is a call of a receiver that is due at a time.
type late struct {
	at time.Time
	do func()
}

func (r *lateReceiver) run() {
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.stopped {
			r.filled.Wait()
		}
		if r.stopped {
			r.mu.Unlock()
			return
		}
		next := r.queue[0]
		r.queue = r.queue[1:]
		r.mu.Unlock()
		if wait := time.Until(next.at); wait > 0 {
			<-time.After(wait)
		}
		if !r.bus.dead() {
			next.do()
		}
	}
}

func (r *lateReceiver) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.filled.Signal()
}

func (r *lateReceiver) later(do func()) {
	r.bus.mu.Lock()
	delay := time.Duration(r.bus.rnd.Int64N(int64(r.bus.delay)))
	r.bus.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, late{time.Now().Add(delay), do})
	r.filled.Signal()
}

// Received implements [cluster.Receiver].
func (r *lateReceiver) Received(m cluster.Message) { r.later(func() { r.to.Received(m) }) }

// StateChanged implements [cluster.Receiver].
func (r *lateReceiver) StateChanged(s cluster.State) { r.later(func() { r.to.StateChanged(s) }) }

// Lost implements [cluster.Receiver].
func (r *lateReceiver) Lost(n int) { r.later(func() { r.to.Lost(n) }) }
