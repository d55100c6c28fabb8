package outcome

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

const (
	// renewEvery is how often a node repeats what its watchers want, and lease how long other
	// nodes go by it.
	renewEvery, lease = 5 * time.Second, 20 * time.Second
	// batchDelay is how long events for other nodes wait for more of them.
	batchDelay = 50 * time.Millisecond
	// maxBatch and maxBatchBytes bound one message between nodes; a single event may be larger.
	maxBatch, maxBatchBytes = 256, 256 << 10
)

// errTooManyRemote is the error for another node's watchers that a node has no room for.
var errTooManyRemote = errors.New("other nodes have too many watchers")

// ExchangeOptions says how an [Exchange] reaches the other nodes.
type ExchangeOptions struct {
	// Recorder is this node's.
	Recorder *Recorder
	// Ask has all other nodes call [Exchange.Watch], and returns those that haven't. It may take
	// a while.
	Ask func(ctx context.Context, m *wire.WatchOutcomes) Coverage
	// Send has another node call [Exchange.Receive]. It doesn't wait.
	Send func(to cluster.NodeID, batch *wire.OutcomeBatch) error
}

// Coverage says which nodes don't report to this node's watchers.
type Coverage struct {
	// Partial says that there are such nodes; Missing are those that are known.
	Partial bool
	Missing []string
}

// Exchange lets watchers know what happens at other nodes. A node tells the others what its
// watchers want, and repeats it, so that what a lost node wanted is forgotten. Each of the others
// has a watcher in its own recorder for each of them, and sends what that one gets. So a filter is
// applied where something happens, and a flood ends at the queue of the watcher there.
//
// Its methods may be called concurrently.
type Exchange struct {
	o       ExchangeOptions
	changed chan struct{} // receives a value when the others have to be told
	ready   chan struct{} // receives a value when something may wait for other nodes

	telling chan struct{} // holds a value while the others are told; guards the next two
	version uint64
	told    bool // the others go by there being watchers

	mu       sync.Mutex
	coverage Coverage
	peers    map[cluster.NodeID]*peer
}

// peer is another node with watchers. Exchange.mu guards it.
type peer struct {
	version  uint64
	until    time.Time
	watchers map[uint64]*Watcher // by their ids at that node
}

// NewExchange returns an exchange. [Exchange.Run] runs it.
func NewExchange(o ExchangeOptions) *Exchange {
	return &Exchange{
		o:       o,
		changed: make(chan struct{}, 1),
		ready:   make(chan struct{}, 1),
		telling: make(chan struct{}, 1),
		peers:   make(map[cluster.NodeID]*peer),
	}
}

// Run tells the other nodes what this node's watchers want, and sends them what theirs do, until
// ctx ends.
func (x *Exchange) Run(ctx context.Context) {
	var sending sync.WaitGroup
	sending.Go(func() { x.send(ctx) })
	defer sending.Wait()
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.changed:
		case <-renew.C:
			x.expire()
		}
		x.Tell(ctx)
	}
}

// Changed says that the watchers of this node, or the other nodes, have changed.
func (x *Exchange) Changed() { signal(x.changed) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Tell tells the other nodes what this node's watchers want, and returns when they know it or
// can't be reached, or when ctx ends.
func (x *Exchange) Tell(ctx context.Context) {
	select {
	case x.telling <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-x.telling }()
	local := x.o.Recorder.local()
	if len(local) == 0 && !x.told {
		return
	}
	x.version++
	m := &wire.WatchOutcomes{Version: x.version}
	for _, w := range local {
		m.Watchers = append(m.Watchers, watcherToWire(w))
	}
	now := x.o.Ask(ctx, m)
	x.told = len(local) > 0
	slices.Sort(now.Missing)
	x.mu.Lock()
	same := x.coverage.Partial == now.Partial && slices.Equal(x.coverage.Missing, now.Missing)
	x.coverage = now
	x.mu.Unlock()
	if !same {
		for _, w := range local {
			w.wake()
		}
	}
}

// Coverage returns which nodes don't report at the moment.
func (x *Exchange) Coverage() Coverage {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.coverage
}

// Watch notes what the watchers of another node want. An error means that the other node learns
// not all of it.
func (x *Exchange) Watch(from cluster.NodeID, m *wire.WatchOutcomes) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, ok := x.peers[from]
	if !ok {
		p = &peer{watchers: make(map[uint64]*Watcher)}
		x.peers[from] = p
	}
	if m.GetVersion() <= p.version {
		return nil
	}
	p.version, p.until = m.GetVersion(), time.Now().Add(lease)
	before := p.watchers
	p.watchers = make(map[uint64]*Watcher)
	var failed error
	for _, wanted := range m.GetWatchers() {
		w, known := before[wanted.GetId()]
		if !known {
			w = x.o.Recorder.watchRemote(filterFromWire(wanted), x.ready)
		}
		if w == nil {
			failed = errTooManyRemote
			continue
		}
		delete(before, wanted.GetId())
		p.watchers[wanted.GetId()] = w
	}
	x.end(before)
	return failed
}

func (x *Exchange) end(watchers map[uint64]*Watcher) {
	for _, w := range watchers {
		x.o.Recorder.Unwatch(w)
	}
}

// Gone forgets what the watchers of a node wanted that has left or was lost.
func (x *Exchange) Gone(node cluster.NodeID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p, ok := x.peers[node]; ok {
		x.end(p.watchers)
		delete(x.peers, node)
	}
}

// expire forgets what nodes wanted that haven't repeated it.
func (x *Exchange) expire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for node, p := range x.peers {
		if time.Now().After(p.until) {
			x.end(p.watchers)
			delete(x.peers, node)
		}
	}
}

// send sends what the watchers of other nodes get, until ctx ends.
func (x *Exchange) send(ctx context.Context) {
	delay := time.NewTimer(0)
	defer delay.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.ready:
		}
		delay.Reset(batchDelay)
		select {
		case <-ctx.Done():
			return
		case <-delay.C:
		}
		x.flush()
	}
}

// waiting is what waits for a watcher of another node.
type waiting struct {
	node   cluster.NodeID
	id     uint64
	local  *Watcher
	events []Event
	missed uint64
}

func (x *Exchange) flush() {
	var all []waiting
	x.mu.Lock()
	for node, p := range x.peers {
		for id, w := range p.watchers {
			events, missed := w.Take()
			if len(events) > 0 || missed > 0 {
				all = append(all, waiting{node, id, w, events, missed})
			}
		}
	}
	x.mu.Unlock()
	for _, w := range all {
		x.sendTo(&w)
	}
}

func (x *Exchange) sendTo(w *waiting) {
	for len(w.events) > 0 || w.missed > 0 {
		batch := &wire.OutcomeBatch{Watcher: w.id, Missed: w.missed}
		bytes := 0
		for len(batch.GetEvents()) < min(maxBatch, len(w.events)) && bytes < maxBatchBytes {
			e := &w.events[len(batch.GetEvents())]
			batch.Events = append(batch.Events, ToWire(e))
			bytes += e.size()
		}
		w.events = w.events[len(batch.GetEvents()):]
		if err := x.o.Send(w.node, batch); err != nil {
			w.local.count(w.missed + uint64(len(batch.GetEvents())+len(w.events)))
			return
		}
		w.missed = 0
	}
}

// Receive passes what happened at another node on to a watcher of this one.
func (x *Exchange) Receive(from cluster.NodeID, batch *wire.OutcomeBatch) {
	for _, w := range x.o.Recorder.local() {
		if w.id != batch.GetWatcher() {
			continue
		}
		for _, event := range batch.GetEvents() {
			e := FromWire(from, event)
			w.push(&e)
		}
		w.miss(batch.GetMissed())
	}
}
