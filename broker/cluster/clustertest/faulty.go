package clustertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// Lossy is a bus that loses some of the messages that arrive.
type Lossy struct {
	cluster.Bus
	// Loss is the probability of a loss, from 0 to 1.
	Loss float64
	// Random is used by one goroutine at a time.
	Random *rand.Rand
}

// Run implements [cluster.Bus].
func (l *Lossy) Run(ctx context.Context, r cluster.Receiver) error {
	return l.Bus.Run(ctx, lossyReceiver{Receiver: r, bus: l})
}

type lossyReceiver struct {
	cluster.Receiver
	bus *Lossy
}

// Received implements [cluster.Receiver].
func (r lossyReceiver) Received(m cluster.Message) {
	if r.bus.Random.Float64() >= r.bus.Loss {
		r.Receiver.Received(m)
	}
}

// Laggy is a bus that delays everything that arrives by a random time of up to Lag. The order stays
// the same.
type Laggy struct {
	cluster.Bus
	// Lag is the longest delay.
	Lag time.Duration
	// Random is used by one goroutine at a time.
	Random *rand.Rand
}

// Run implements [cluster.Bus].
func (l *Laggy) Run(ctx context.Context, r cluster.Receiver) error {
	late := &laggyReceiver{bus: l, due: make(chan delayed, 1<<16)}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for d := range late.due {
			<-time.After(time.Until(d.at))
			d.do(r)
		}
	})
	defer waiting.Wait()
	defer close(late.due)
	return l.Bus.Run(ctx, late)
}

// delayed is a call of a receiver that is due at a time.
type delayed struct {
	at time.Time
	do func(cluster.Receiver)
}

type laggyReceiver struct {
	bus *Laggy
	due chan delayed
}

func (r *laggyReceiver) later(do func(cluster.Receiver)) {
	lag := time.Duration(r.bus.Random.Float64() * float64(r.bus.Lag))
	r.due <- delayed{at: time.Now().Add(lag), do: do}
}

// Received implements [cluster.Receiver].
func (r *laggyReceiver) Received(m cluster.Message) {
	r.later(func(to cluster.Receiver) { to.Received(m) })
}

// StateChanged implements [cluster.Receiver].
func (r *laggyReceiver) StateChanged(s cluster.State) {
	r.later(func(to cluster.Receiver) { to.StateChanged(s) })
}

// Lost implements [cluster.Receiver].
func (r *laggyReceiver) Lost(n int) {
	r.later(func(to cluster.Receiver) { to.Lost(n) })
}

// Freezer is a bus whose node can be frozen like a stopped process: until it thaws, nothing is sent
// and nothing is received.
type Freezer struct {
	cluster.Bus

	mu     sync.Mutex
	thawed chan struct{} // nil or closed while it isn't frozen
}

// Freeze freezes the node until Thaw.
func (f *Freezer) Freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.thawed = make(chan struct{})
}

// Thaw lets the node continue.
func (f *Freezer) Thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.thawed)
}

func (f *Freezer) wait() {
	f.mu.Lock()
	thawed := f.thawed
	f.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
}

// Run implements [cluster.Bus].
func (f *Freezer) Run(ctx context.Context, r cluster.Receiver) error {
	return f.Bus.Run(ctx, frozenReceiver{Receiver: r, bus: f})
}

// Publish implements [cluster.Bus].
func (f *Freezer) Publish(ctx context.Context, batch []cluster.Message, peers []string) ([]cluster.Receipt, error) {
	f.wait()
	return f.Bus.Publish(ctx, batch, peers)
}

// Put implements [cluster.Bus].
func (f *Freezer) Put(ctx context.Context, table, key string, value []byte, ttl time.Duration) error {
	f.wait()
	return f.Bus.Put(ctx, table, key, value, ttl)
}

type frozenReceiver struct {
	cluster.Receiver
	bus *Freezer
}

// Received implements [cluster.Receiver].
func (r frozenReceiver) Received(m cluster.Message) {
	r.bus.wait()
	r.Receiver.Received(m)
}
