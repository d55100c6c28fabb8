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
	// reportSockets is how many disconnects are published between two reports to other nodes.
	reportSockets = 100
	// deliverWithin is how long backends have for a batch before the next one follows in any case:
	// a slow backend delays the others by no more than this.
	deliverWithin = time.Second
	// askFor is how long a recovery waits for nodes that don't answer.
	askFor = 15 * time.Second
	// askEvery is the pause before it asks again.
	askEvery = 250 * time.Millisecond
	// followFor is how long it waits before it asks how far the publishing node is.
	followFor = 5 * time.Second
)

// recovery publishes the disconnects of a lost node, or follows another node that does.
type recovery struct {
	// Static.
	node cluster.NodeID
	// incarnation is the node's when it was lost.
	incarnation uint64
	sockets     int // about how many it had
	known       int // how many this node keeps
	since       time.Time
	wake        chan struct{} // holds a token: a node is gone, or all is published

	// Guarded by Registry.mu.
	snapshot   *snapshot
	running    bool
	publishing bool // this node publishes
	contested  bool // another node may have begun to publish
}

func newRecovery(node cluster.NodeID, incarnation uint64, snap *snapshot, sockets int) *recovery {
	return &recovery{
		node: node, incarnation: incarnation, sockets: sockets, known: len(snap.sockets), since: time.Now(), wake: make(chan struct{}, 1),
		snapshot: snap, contested: snap.publishedThrough != "",
	}
}

// newRecoveries returns the recoveries that are to run from now on.
func (r *Registry) newRecoveries(now time.Time) []*recovery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var recoveries []*recovery
	for _, rec := range r.recoveries {
		if !rec.running {
			rec.running = true
			recoveries = append(recoveries, rec)
		}
	}
	maps.DeleteFunc(r.published, func(_ cluster.NodeID, at time.Time) bool { return now.Sub(at) > keepPublishedFor })
	return recoveries
}

// wakeRecoveries wakes the recoveries that wait for a node. The caller holds mu.
func (r *Registry) wakeRecoveries() {
	for _, rec := range r.recoveries {
		notify(rec.wake)
	}
}

// recover runs until the disconnects of a lost node are published, by this node or by one that
// knows more.
func (r *Registry) recover(ctx context.Context, rec *recovery) {
	for ctx.Err() == nil && r.isOpen(rec) {
		if !r.takesPart(rec) {
			wait(ctx, rec.wake, followFor)
			continue
		}
		states, complete := r.opts.Ask(ctx, rec.node)
		if !complete && time.Since(rec.since) < askFor {
			wait(ctx, rec.wake, askEvery)
			continue
		}
		publisher, published := r.choosePublisher(rec, states)
		switch {
		case published:
			r.finish(rec)
		case publisher == r.opts.Self:
			r.publish(ctx, rec)
		default:
			wait(ctx, rec.wake, followFor)
		}
	}
}

// wait waits until done has a value or is closed, for at most d.
func wait(ctx context.Context, done <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-done:
	}
}

// isOpen reports whether there is something to publish yet: the node isn't back, and not everything
// is published.
func (r *Registry) isOpen(rec *recovery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recoveries[rec.node] == rec
}

// takesPart reports whether this node finds out who publishes: it keeps something, or it is the
// first survivor in the ranking, in case no node does. Other nodes wait for a while, and then forget
// the recovery.
func (r *Registry) takesPart(rec *recovery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec.snapshot.epoch > 0 {
		return true
	}
	survivors := append(slices.Collect(maps.Keys(r.nodes)), r.opts.Self)
	if rank(rec.node, survivors)[0] == r.opts.Self {
		return true
	}
	if time.Since(rec.since) > keepPublishedFor {
		delete(r.recoveries, rec.node)
	}
	return false
}

// choosePublisher returns the node that is to publish, or that all is published already.
func (r *Registry) choosePublisher(
	rec *recovery, states map[cluster.NodeID]*wire.WillState,
) (publisher cluster.NodeID, published bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	candidates := []cluster.NodeID{r.opts.Self}
	for id, state := range states {
		if state.GetPublished() {
			return "", true
		}
		candidates = append(candidates, id)
	}
	r.applyMoves(rec, states)
	own := rec.snapshot.state()
	best := own
	for _, id := range rank(rec.node, candidates) {
		state := own
		if id != r.opts.Self {
			state = states[id]
		}
		if publisher == "" || better(state, best) > 0 {
			publisher, best = id, state
		}
	}
	rec.publishing = publisher == r.opts.Self
	rec.contested = rec.contested || !rec.publishing
	for asker := range rec.snapshot.askers {
		if states[asker] == nil { // it is gone, and may have begun
			rec.contested = true
		}
	}
	return publisher, false
}

// finish ends a recovery.
func (r *Registry) finish(rec *recovery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recoveries[rec.node] == rec {
		delete(r.recoveries, rec.node)
		r.published[rec.node] = time.Now()
	}
}

// publish publishes all disconnects that aren't published yet, and reports its progress to other
// nodes.
func (r *Registry) publish(ctx context.Context, rec *recovery) {
	batches, redelivered := r.batches(rec)
	published := make(chan publishedBatch, len(batches))
	var reporting sync.WaitGroup
	reporting.Go(func() { r.reportProgress(ctx, rec, published) })
	n := 0
	for _, batch := range batches {
		if ctx.Err() != nil || !r.isOpen(rec) {
			break
		}
		tracker := eventhub.NewTracker()
		for _, s := range batch {
			r.opts.Publish(s, rec.incarnation, redelivered, tracker)
		}
		tracker.Seal()
		n += len(batch)
		published <- publishedBatch{tracker, batch[len(batch)-1].ID}
		wait(ctx, tracker.Done(), deliverWithin)
	}
	close(published)
	reporting.Wait()
	if ctx.Err() != nil || !r.isOpen(rec) {
		return // another node goes on, or the lost one is back
	}
	r.mu.Lock()
	places := slices.Collect(maps.Keys(rec.snapshot.places))
	r.mu.Unlock()
	r.opts.PlacesLost(places)
	r.finish(rec)
	r.sendProgress(&wire.WillProgress{Node: string(rec.node), Done: true})
	if n > 0 {
		r.opts.Logger.Info("published the disconnects of a lost node's sockets", "node", string(rec.node), "sockets", n)
	}
	if missing := rec.sockets - rec.known; missing > 0 && !rec.snapshot.complete {
		r.opts.Forgotten(rec.node, missing)
	}
}

// publishedBatch is the disconnects of sockets up to an id.
type publishedBatch struct {
	tracker *eventhub.Tracker
	through string
}

// batches returns the sockets whose disconnects are to be published, in the order of their ids, and
// whether another node may have published them before.
func (r *Registry) batches(rec *recovery) (batches [][]*eventhub.Socket, redelivered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.snapshot.dropThrough(rec.snapshot.publishedThrough)
	ids := slices.Sorted(maps.Keys(rec.snapshot.sockets))
	for some := range slices.Chunk(ids, reportSockets) {
		batch := make([]*eventhub.Socket, len(some))
		for i, id := range some {
			batch[i] = rec.snapshot.sockets[id].socket(id, rec.node)
		}
		batches = append(batches, batch)
	}
	return batches, rec.contested
}

// reportProgress reports each batch to other nodes, in order, once backends have been handed it.
func (r *Registry) reportProgress(ctx context.Context, rec *recovery, published <-chan publishedBatch) {
	for batch := range published {
		select {
		case <-ctx.Done():
			return
		case <-batch.tracker.Done():
		}
		r.sendProgress(&wire.WillProgress{Node: string(rec.node), Through: batch.through})
		r.mu.Lock()
		rec.snapshot.publishedThrough = batch.through
		r.mu.Unlock()
	}
}

// sendProgress reports progress to all nodes. A node that doesn't get it asks in time.
func (r *Registry) sendProgress(progress *wire.WillProgress) {
	r.mu.Lock()
	nodes := slices.Collect(maps.Keys(r.nodes))
	r.mu.Unlock()
	for _, id := range nodes {
		r.send(id, &wire.EventTraffic{Body: &wire.EventTraffic_WillProgress{WillProgress: progress}})
	}
}

// receiveProgress applies the progress of another node. The caller holds mu.
func (r *Registry) receiveProgress(progress *wire.WillProgress) {
	node := cluster.NodeID(progress.GetNode())
	rec, snap := r.recoveries[node], r.snapshots[node]
	if rec != nil {
		snap = rec.snapshot
		rec.contested = true
	}
	if snap == nil {
		return
	}
	snap.publishedThrough = max(snap.publishedThrough, progress.GetThrough())
	snap.published = snap.published || progress.GetDone()
	switch {
	case rec == nil:
	case progress.GetDone():
		delete(r.recoveries, node)
		r.published[node] = time.Now()
		notify(rec.wake)
	case !rec.publishing:
		snap.dropThrough(snap.publishedThrough)
	}
}
