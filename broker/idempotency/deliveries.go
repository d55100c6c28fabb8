package idempotency

import (
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
)

// maxDeliveries bounds how many deliveries a node remembers: for as long as 2 windows, and at least the
// last half of them.
const maxDeliveries = 1 << 18

// Deliveries remembers which messages a node has delivered, so that it delivers none of them again when
// another node repeats it. Its methods may be called concurrently.
type Deliveries[R any] struct {
	// Static.
	window time.Duration
	most   int // deliveries of a generation

	// Guarded by mu.
	mu       sync.Mutex
	finished sync.Cond
	recent   map[delivery]*outcome[R]
	older    map[delivery]*outcome[R]
	aging    bool // a timer is going to call age
}

// delivery is a part of a message.
type delivery struct {
	node   [cluster.NodeIDBytes]byte
	number uint64
	part   uint64
}

type outcome[R any] struct {
	result R
	done   bool
}

// NewDeliveries returns deliveries that are remembered for at least a window.
func NewDeliveries[R any](window time.Duration) *Deliveries[R] {
	d := &Deliveries[R]{window: window, most: maxDeliveries / 2, recent: make(map[delivery]*outcome[R])}
	d.finished.L = &d.mu
	return d
}

// Once calls deliver, unless a part of a message has been delivered already, and returns the result of
// that. Of several calls at once, one delivers, and the others wait for it.
func (d *Deliveries[R]) Once(id ID, part uint64, deliver func() R) R {
	key := delivery{number: id.Number, part: part}
	copy(key.node[:], id.Node)
	o, first := d.begin(key)
	if !first {
		return o.result
	}
	defer d.finish(o)
	o.result = deliver()
	return o.result
}

// begin returns the outcome of a delivery once that is known, or first, if there was none.
func (d *Deliveries[R]) begin(key delivery) (o *outcome[R], first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.recent[key]
	if !ok {
		o, ok = d.older[key]
	}
	if ok {
		for !o.done {
			d.finished.Wait()
		}
		return o, false
	}
	if len(d.recent) >= d.most {
		d.recent, d.older = make(map[delivery]*outcome[R]), d.recent
	}
	o = new(outcome[R])
	d.recent[key] = o
	if !d.aging {
		d.aging = true
		time.AfterFunc(d.window, d.age)
	}
	return o, true
}

func (d *Deliveries[R]) finish(o *outcome[R]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.done = true
	d.finished.Broadcast()
}

// age forgets what is older than a window.
func (d *Deliveries[R]) age() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recent, d.older = make(map[delivery]*outcome[R]), d.recent
	d.aging = len(d.older) > 0
	if d.aging {
		time.AfterFunc(d.window, d.age)
	}
}
