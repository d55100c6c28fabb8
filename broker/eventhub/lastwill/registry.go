package lastwill

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/presence"
)

const (
	// checkEvery is how often successors are asked what they have.
	checkEvery = time.Second
	// keepPublishedFor is how long it is known that a node's disconnects were published.
	keepPublishedFor = time.Minute
)

// Options configure a [Registry]. All are required.
type Options struct {
	// Self is this node.
	Self cluster.NodeID
	// Hub is this node's hub. It says when subscriptions come or go.
	Hub *eventhub.Hub
	// Interest says what anybody wants to learn about lost nodes: empty for nothing, otherwise any
	// text that changes when Sockets or Places list others.
	Interest func() string
	// Sockets returns all sockets of this node. One that this node takes over is among them when
	// TakenOver is called, and not before this node has it for certain; one that it hands over isn't
	// when HandedOver is called.
	Sockets func() []*eventhub.Socket
	// Places returns the users whose places are deposited: all for which Deposit was called with true
	// last.
	Places func() []presence.Place
	// Send sends a message to another node and must not wait. After an error nothing was sent.
	Send func(to cluster.NodeID, t *wire.EventTraffic) error
	// Ask asks all other nodes what they keep of a lost one, and waits for the answers. Complete is
	// false if a node that is there has not answered.
	Ask func(ctx context.Context, lost cluster.NodeID) (states map[cluster.NodeID]*wire.WillState, complete bool)
	// Silent returns the nodes that are there, but may be lost.
	Silent func() []cluster.NodeID
	// Publish publishes the Disconnect of a lost node's socket with
	// [eventhub.Hub.PublishTracked]. It must be quick.
	Publish func(s *eventhub.Socket, incarnation uint64, redelivered bool, t *eventhub.Tracker)
	// PublishEnd publishes the Disconnect of a socket that this node has handed over to another one,
	// and that has not arrived there. It must be quick.
	PublishEnd func(s *eventhub.Socket)
	// PlacesLost says that a node was lost that had these users. It is called after Publish was for
	// its sockets, maybe again by other nodes.
	PlacesLost func([]presence.Place)
	// Forgotten is called when a node is lost and no node keeps some of its sockets; n is about how
	// many.
	Forgotten func(lost cluster.NodeID, n int)
	// Logger gets the lost nodes.
	Logger *slog.Logger
}

// Registry deposits this node's sockets at its successors, keeps those of other nodes, and publishes
// the disconnects of lost nodes. Its methods may be called concurrently; none but Run waits for
// anything.
type Registry struct {
	// Static.
	opts    Options
	changed <-chan struct{} // subscriptions have come or gone
	wake    chan struct{}   // holds a token if there is something to do

	changes changes // of this node's sockets
	moves   moves   // of sockets between this node and others

	// Owned by the goroutine of Run.
	deposits deposits

	// Guarded by mu.
	mu         sync.Mutex
	nodes      map[cluster.NodeID]struct{} // the other nodes that are there
	snapshots  map[cluster.NodeID]*snapshot
	recoveries map[cluster.NodeID]*recovery
	published  map[cluster.NodeID]time.Time       // all disconnects of these nodes were published
	states     map[cluster.NodeID]*wire.WillState // that successors have sent
	resync     bool                               // successors need new snapshots
}

// New returns a registry that knows no other nodes yet.
func New(o Options) *Registry {
	return &Registry{
		opts:       o,
		changed:    o.Hub.Watch(),
		wake:       make(chan struct{}, 1),
		deposits:   newDeposits(),
		moves:      newMoves(),
		nodes:      make(map[cluster.NodeID]struct{}),
		snapshots:  make(map[cluster.NodeID]*snapshot),
		recoveries: make(map[cluster.NodeID]*recovery),
		published:  make(map[cluster.NodeID]time.Time),
		states:     make(map[cluster.NodeID]*wire.WillState),
	}
}

// Run keeps the successors up to date and recovers lost nodes, until ctx ends. It is called once.
func (r *Registry) Run(ctx context.Context) {
	var recovering sync.WaitGroup
	defer recovering.Wait()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.updateSuccessors(false)
		case <-r.changed:
			r.updateSuccessors(false)
		case <-check.C:
			r.updateSuccessors(true)
			r.checkSuccessors()
			r.checkGiven(time.Now())
		}
		for _, s := range r.moves.takeMissing() {
			r.opts.PublishEnd(s)
		}
		for _, rec := range r.newRecoveries(time.Now()) {
			recovering.Go(func() { r.recover(ctx, rec) })
		}
	}
}

// notify leaves a token in a channel with room for one.
func notify(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Joined says that a node is there. If it was considered lost, its disconnects aren't published any
// further.
func (r *Registry) Joined(id cluster.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes[id] = struct{}{}
	delete(r.published, id)
	delete(r.recoveries, id)
	notify(r.wake)
}

// Left says that a node has left, after it published the disconnects of its clients. Other nodes go
// on with the recoveries that it hasn't finished.
func (r *Registry) Left(id cluster.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, id)
	delete(r.snapshots, id)
	r.wakeRecoveries()
	notify(r.wake)
}

// Lost says that a node was lost and that its subscriptions were ended. Sockets is about how many it
// had.
func (r *Registry) Lost(id cluster.NodeID, incarnation uint64, sockets int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, id)
	snap := r.snapshots[id]
	delete(r.snapshots, id)
	switch {
	case snap != nil && snap.published:
		r.published[id] = time.Now()
	case snap != nil:
		r.recoveries[id] = newRecovery(id, incarnation, snap, sockets)
	case r.opts.Interest() != "": // it may have sockets that it has taken over just now
		r.recoveries[id] = newRecovery(id, incarnation, &snapshot{}, sockets)
	}
	r.wakeRecoveries()
	notify(r.wake)
}

// Rejoined says that other nodes considered this one lost, and that it is back. Its successors have
// published the disconnects of its sockets and dropped them, also of those that were on their way to
// another node.
func (r *Registry) Rejoined() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resync = true
	r.moves.settleAll()
	notify(r.wake)
}

// Receive takes a message of another node.
func (r *Registry) Receive(from cluster.NodeID, t *wire.EventTraffic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch body := t.GetBody().(type) {
	case *wire.EventTraffic_WillUpdate:
		r.receiveUpdate(from, body.WillUpdate)
	case *wire.EventTraffic_WillState:
		if _, ok := r.nodes[from]; ok {
			r.states[from] = body.WillState
			notify(r.wake)
		}
	case *wire.EventTraffic_WillProgress:
		r.receiveProgress(body.WillProgress)
	case *wire.EventTraffic_WillMoves:
		r.receiveMoves(from, body.WillMoves)
	}
}

// State returns what this node keeps of a lost one. The asker is another node that recovers the lost
// one, or the lost one itself, back again.
func (r *Registry) State(lost, asker cluster.NodeID) *wire.WillState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.published[lost]; ok {
		return &wire.WillState{Published: true, Lost: true}
	}
	rec, snap := r.recoveries[lost], r.snapshots[lost]
	if rec != nil {
		snap = rec.snapshot
	}
	state := snap.state()
	state.Lost = rec != nil
	if asker == lost {
		return state
	}
	state.Moves, state.Given = r.moves.about(lost)
	if snap != nil {
		snap.addAsker(asker)
		state.Publishing = rec != nil && rec.publishing
	}
	return state
}

// send sends a message to a node and reports whether it could.
func (r *Registry) send(to cluster.NodeID, t *wire.EventTraffic) bool {
	return r.opts.Send(to, t) == nil
}
