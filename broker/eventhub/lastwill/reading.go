package lastwill

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

const (
	// handedSockets is how many sockets are told of between two reports to the
	// other nodes.
	handedSockets = 100
	// handedWithin is how long backends have for a batch before the next one
	// follows all the same: a slow backend holds up the others this long.
	handedWithin = time.Second
	// askFor is how long is waited for nodes that don't say what they remember.
	askFor = 15 * time.Second
	// askEvery is the pause between two questions.
	askEvery = 250 * time.Millisecond
	// watchFor is how long another node that tells isn't asked how far it is.
	watchFor = 5 * time.Second
)

// reading is the will of a lost node that this node tells of, or watches another
// one tell.
type reading struct {
	// Static.
	node    cluster.NodeID
	sockets int // about how many it had
	known   int // how many are remembered
	since   time.Time
	hurry   chan struct{} // holds a token: a node is gone, or all is told

	// Guarded by Wills.mu.
	estate  *estate
	running bool
	telling bool // by this node
	watched bool // another node may have begun to tell
}

func newReading(node cluster.NodeID, e *estate, sockets int) *reading {
	return &reading{
		node: node, sockets: sockets, known: len(e.sockets), estate: e, since: time.Now(), hurry: make(chan struct{}, 1),
		watched: e.toldThrough != "",
	}
}

// toRead returns the wills that are to be read from now on.
func (w *Wills) toRead(now time.Time) (readings []*reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.lost {
		if !r.running {
			r.running = true
			readings = append(readings, r)
		}
	}
	maps.DeleteFunc(w.closed, func(_ cluster.NodeID, since time.Time) bool { return now.Sub(since) > rememberedFor })
	return readings
}

// hurryReadings lets those go on that wait for a node. The caller holds mu.
func (w *Wills) hurryReadings() {
	for _, r := range w.lost {
		r.goOn()
	}
}

func (r *reading) goOn() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

// read sees to it that backends hear that the sockets of a lost node are gone: from
// this node, or from another one that knows more.
func (w *Wills) read(ctx context.Context, r *reading) {
	for ctx.Err() == nil && w.isOpen(r) {
		if !w.takesPart(r) {
			r.pause(ctx, watchFor)
			continue
		}
		states, complete := w.opts.Ask(ctx, r.node)
		if !complete && time.Since(r.since) < askFor {
			r.pause(ctx, askEvery)
			continue
		}
		switch teller, told := w.teller(r, states); {
		case told:
			w.close(r)
		case teller == w.opts.Self:
			w.tellAll(ctx, r)
		default:
			r.pause(ctx, watchFor)
		}
	}
}

// pause waits, at most until another node is gone.
func (r *reading) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-r.hurry:
	}
}

// isOpen reports whether there is something to tell yet: the node hasn't come back,
// and nobody has told all.
func (w *Wills) isOpen(r *reading) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost[r.node] == r
}

// takesPart reports whether this node finds out who is to tell: it remembers
// something, or is the first in the ranking of those that are there, in case nobody
// does. After a while, the others needn't wait any longer.
func (w *Wills) takesPart(r *reading) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.estate.epoch > 0 {
		return true
	}
	all := append(slices.Collect(maps.Keys(w.nodes)), w.opts.Self)
	if rank(r.node, all)[0] == w.opts.Self {
		return true
	}
	if time.Since(r.since) > rememberedFor {
		delete(w.lost, r.node)
	}
	return false
}

// teller returns the node that is to tell, and whether all is told already.
func (w *Wills) teller(r *reading, states map[cluster.NodeID]*wire.WillState) (teller cluster.NodeID, told bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := []cluster.NodeID{w.opts.Self}
	for id, state := range states {
		if told = state.GetTold(); told {
			return "", true
		}
		all = append(all, id)
	}
	mine := r.estate.state()
	best := mine
	for _, id := range rank(r.node, all) {
		state := mine
		if id != w.opts.Self {
			state = states[id]
		}
		if teller == "" || better(state, best) > 0 {
			teller, best = id, state
		}
	}
	r.telling = teller == w.opts.Self
	r.watched = r.watched || !r.telling
	for asker := range r.estate.askers {
		if states[asker] == nil { // it is gone, and may have begun
			r.watched = true
		}
	}
	return teller, false
}

// close is the end of a reading.
func (w *Wills) close(r *reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost[r.node] == r {
		delete(w.lost, r.node)
		w.closed[r.node] = time.Now()
	}
}

// tellAll tells backends of all sockets that they haven't been told of yet, and other
// nodes of how far it has come.
func (w *Wills) tellAll(ctx context.Context, r *reading) {
	batches, redelivered := w.batches(r)
	handovers := make(chan toldBatch, len(batches))
	var reporter sync.WaitGroup
	reporter.Go(func() { w.report(ctx, r, handovers) })
	n := 0
	for _, batch := range batches {
		if ctx.Err() != nil || !w.isOpen(r) {
			break
		}
		handover := eventhub.NewHandover()
		for _, s := range batch {
			w.opts.Gone(s, redelivered, handover)
		}
		handover.Seal()
		n += len(batch)
		handovers <- toldBatch{handover, batch[len(batch)-1].ID}
		wait(ctx, handover, handedWithin)
	}
	close(handovers)
	reporter.Wait()
	if ctx.Err() != nil || !w.isOpen(r) {
		return // another node goes on, or the lost one is back
	}
	w.close(r)
	w.tellNodes(&wire.WillTold{Node: string(r.node), Done: true})
	w.opts.Logger.Info("the sockets of a lost node are gone", "node", string(r.node), "sockets", n)
	if missing := r.sockets - r.known; missing > 0 && !r.estate.complete {
		w.opts.Forgotten(r.node, missing)
	}
}

// toldBatch is sockets that were told of, up to an id.
type toldBatch struct {
	handover *eventhub.Handover
	through  string
}

// batches returns the sockets that are to be told of, in the order of their ids,
// and whether backends may have heard of them before.
func (w *Wills) batches(r *reading) (batches [][]*eventhub.Socket, redelivered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.estate.forget(r.estate.toldThrough)
	ids := slices.Sorted(maps.Keys(r.estate.sockets))
	for some := range slices.Chunk(ids, handedSockets) {
		batch := make([]*eventhub.Socket, len(some))
		for i, id := range some {
			batch[i] = r.estate.sockets[id].socket(id)
		}
		batches = append(batches, batch)
	}
	return batches, r.watched
}

// report tells other nodes of each batch, in order, when backends have been handed
// it.
func (w *Wills) report(ctx context.Context, r *reading, handovers <-chan toldBatch) {
	for told := range handovers {
		select {
		case <-ctx.Done():
			return
		case <-told.handover.Done():
		}
		w.tellNodes(&wire.WillTold{Node: string(r.node), Through: told.through})
		w.mu.Lock()
		r.estate.toldThrough = told.through
		w.mu.Unlock()
	}
}

// wait waits until backends have been handed a batch, but not for long.
func wait(ctx context.Context, handover *eventhub.Handover, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-handover.Done():
	}
}

// tellNodes says to all nodes how far this one has come.
func (w *Wills) tellNodes(told *wire.WillTold) {
	w.mu.Lock()
	nodes := slices.Collect(maps.Keys(w.nodes))
	w.mu.Unlock()
	for _, id := range nodes {
		// One that doesn't hear it asks in time.
		w.say(id, &wire.EventTraffic{Body: &wire.EventTraffic_WillTold{WillTold: told}})
	}
}

// heardTold takes in how far another node has come. The caller holds mu.
func (w *Wills) heardTold(told *wire.WillTold) {
	node := cluster.NodeID(told.GetNode())
	r, e := w.lost[node], w.kept[node]
	if r != nil {
		e = r.estate
		r.watched = true
	}
	if e == nil {
		return
	}
	e.toldThrough = max(e.toldThrough, told.GetThrough())
	e.told = e.told || told.GetDone()
	switch {
	case r == nil:
	case told.GetDone():
		delete(w.lost, node)
		w.closed[node] = time.Now()
		r.goOn()
	case !r.telling:
		e.forget(e.toldThrough)
	}
}

// forget drops the sockets up to an id.
func (e *estate) forget(through string) {
	if through != "" {
		maps.DeleteFunc(e.sockets, func(id string, _ remembered) bool { return id <= through })
	}
}
