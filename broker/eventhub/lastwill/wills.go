package lastwill

import (
	"context"
	"log/slog"
	"sync"
	"time"
	"unique"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

const (
	// checkEvery is how often heirs are asked whether they remember everything.
	checkEvery = time.Second
	// batchSockets is how many sockets go into one message.
	batchSockets = 1000
	// maxPending is how many changes may wait to be sent; if there are more, new
	// epochs begin.
	maxPending = 50_000
	// maxSockets is how many sockets of one node are remembered.
	maxSockets = 1 << 20
	// rememberedFor is how long it is known what became of a will.
	rememberedFor = time.Minute
)

// Options say what [Wills] work with. All are required.
type Options struct {
	// Self is this node.
	Self cluster.NodeID
	// Hub is this node's: it says whether anybody wants to hear.
	Hub *eventhub.Hub
	// Sockets returns all sockets of this node.
	Sockets func() []*eventhub.Socket
	// Send sends something to another node and must not wait. After an error
	// nothing has been sent.
	Send func(to cluster.NodeID, t *wire.EventTraffic) error
	// Ask asks all other nodes what they remember of a lost one, and waits for
	// the answers. Complete is false if a node that is there has not answered.
	Ask func(ctx context.Context, lost cluster.NodeID) (states map[cluster.NodeID]*wire.WillState, complete bool)
	// Gone publishes that a socket of a lost node is gone, as
	// [eventhub.Hub.PublishTracked] does. It must be quick.
	Gone func(s *eventhub.Socket, redelivered bool, handover *eventhub.Handover)
	// Forgotten is called when a node is lost of whose sockets nobody remembers
	// some; n is about how many.
	Forgotten func(lost cluster.NodeID, n int)
	// Logger is told of lost nodes.
	Logger *slog.Logger
}

// Wills are this node's own will and those of the nodes whose heir it is. All methods
// may be called concurrently; none but Run waits for anything.
type Wills struct {
	// Static.
	opts    Options
	changed <-chan struct{} // subscriptions have come or gone
	wake    chan struct{}   // holds a token if there is something to do

	changes changes // of this node's sockets

	own will // owned by the goroutine of Run

	// Guarded by mu.
	mu      sync.Mutex
	nodes   map[cluster.NodeID]struct{} // that are there
	kept    map[cluster.NodeID]*estate
	lost    map[cluster.NodeID]*reading
	closed  map[cluster.NodeID]time.Time // backends have been told of all their sockets
	heard   map[cluster.NodeID]*wire.WillState
	restart bool // all heirs have to be told everything again
}

// estate is what is remembered of another node's sockets.
type estate struct {
	epoch, number, version uint64
	complete               bool
	sockets                map[string]remembered // by their ids
	// Another node tells backends of these sockets, since it has lost their node
	// earlier. It has come this far.
	toldThrough string
	told        bool
	// Nodes that have asked for this state, to find out whether they are to tell.
	askers map[cluster.NodeID]struct{}
}

// New returns the wills of a node that knows no others yet.
func New(o Options) *Wills {
	return &Wills{
		opts:    o,
		changed: o.Hub.Watch(),
		wake:    make(chan struct{}, 1),
		nodes:   make(map[cluster.NodeID]struct{}),
		kept:    make(map[cluster.NodeID]*estate),
		lost:    make(map[cluster.NodeID]*reading),
		closed:  make(map[cluster.NodeID]time.Time),
		heard:   make(map[cluster.NodeID]*wire.WillState),
		own:     will{heirs: make(map[cluster.NodeID]*heir), formers: make(map[cluster.NodeID]struct{})},
	}
}

// Run keeps this node's will up to date and reads those of lost nodes, until ctx
// ends. It is called once.
func (w *Wills) Run(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			w.update(false)
		case <-w.changed:
			w.update(false)
		case <-check.C:
			w.update(true)
			w.check()
		}
		for _, r := range w.toRead(time.Now()) {
			readers.Go(func() { w.read(ctx, r) })
		}
	}
}

func (w *Wills) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Joined says that a node is there. If it was lost, its sockets are too.
func (w *Wills) Joined(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[id] = struct{}{}
	delete(w.closed, id)
	delete(w.lost, id)
	w.ring()
}

// Left says that a node has left, and has said so to all that wanted to hear. What
// it has not finished to tell of lost nodes others go on with.
func (w *Wills) Left(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, id)
	delete(w.kept, id)
	w.hurryReadings()
	w.ring()
}

// Lost says that a node was lost, after which its subscriptions get nothing more.
// Sockets is about how many it had.
func (w *Wills) Lost(id cluster.NodeID, sockets int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, id)
	e := w.kept[id]
	delete(w.kept, id)
	switch {
	case e != nil && e.told:
		w.closed[id] = time.Now()
	case e != nil:
		w.lost[id] = newReading(id, e, sockets)
	case w.opts.Hub.WantsKind(eventhub.Disconnect) && sockets > 0:
		w.lost[id] = newReading(id, &estate{}, sockets)
	}
	w.hurryReadings()
	w.ring()
}

// Rejoined says that this node was taken for lost and is back. Its heirs have told
// backends of its sockets, and forgotten them.
func (w *Wills) Rejoined() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restart = true
	w.ring()
}

// Receive takes what another node says of its will, of this node's, or of a lost one's.
func (w *Wills) Receive(from cluster.NodeID, t *wire.EventTraffic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch body := t.GetBody().(type) {
	case *wire.EventTraffic_Will:
		w.remember(from, body.Will)
	case *wire.EventTraffic_WillState:
		if _, ok := w.nodes[from]; ok {
			w.heard[from] = body.WillState
			w.ring()
		}
	case *wire.EventTraffic_WillTold:
		w.heardTold(body.WillTold)
	}
}

// remember takes a part of another node's will. The caller holds mu.
func (w *Wills) remember(from cluster.NodeID, part *wire.Will) {
	if _, ok := w.nodes[from]; !ok {
		return // it asks whether it is remembered, once it is there
	}
	e := w.kept[from]
	switch {
	case part.GetForget():
		delete(w.kept, from)
		return
	case part.GetCheck():
		state := e.state()
		state.Check = part
		w.say(from, &wire.EventTraffic{Body: &wire.EventTraffic_WillState{WillState: state}})
		return
	case part.GetNumber() == 1:
		e = &estate{epoch: part.GetEpoch(), sockets: make(map[string]remembered)}
		w.kept[from] = e
	case e == nil:
		return
	case e.epoch != part.GetEpoch() || e.number+1 != part.GetNumber():
		e.complete = false // which the other node finds out when it asks
		return
	}
	e.number, e.version = part.GetNumber(), part.GetVersion()
	for _, s := range part.GetSockets() {
		if len(e.sockets) < maxSockets {
			e.sockets[s.GetId()] = rememberedFrom(s)
		}
	}
	for _, id := range part.GetEnded() {
		delete(e.sockets, id)
	}
	e.complete = e.complete || part.GetComplete()
}

func (e *estate) state() *wire.WillState {
	if e == nil {
		return &wire.WillState{}
	}
	return &wire.WillState{Epoch: e.epoch, Number: e.number, Version: e.version, Complete: e.complete, Told: e.told}
}

// Find returns what this node remembers of a lost one, for another that has lost it
// as well and may be the one to tell of its sockets, or for that node itself.
func (w *Wills) Find(lost, asker cluster.NodeID) *wire.WillState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.closed[lost]; ok {
		return &wire.WillState{Told: true, Lost: true}
	}
	r, e := w.lost[lost], w.kept[lost]
	if r != nil {
		e = r.estate
	}
	state := e.state()
	state.Lost = r != nil
	if e != nil && asker != lost {
		if e.askers == nil {
			e.askers = make(map[cluster.NodeID]struct{})
		}
		e.askers[asker] = struct{}{}
		state.Telling = r != nil && r.telling
	}
	return state
}

// say sends something to a node and reports whether that could be.
func (w *Wills) say(to cluster.NodeID, t *wire.EventTraffic) bool { return w.opts.Send(to, t) == nil }

func socketTo(s *eventhub.Socket) *wire.EventSocket {
	return &wire.EventSocket{
		Id:              s.ID,
		User:            s.User,
		Namespace:       s.Namespace,
		Address:         s.Address,
		Transport:       s.Transport,
		ConnectedUnixNs: s.ConnectTime.UnixNano(),
	}
}

// remembered is what is kept of a socket: less than half of what an [eventhub.Socket]
// takes, as there are many.
type remembered struct {
	user, address        string
	namespace, transport unique.Handle[string]
	connectedUnixNs      int64
}

func rememberedFrom(s *wire.EventSocket) remembered {
	return remembered{
		user:            s.GetUser(),
		address:         s.GetAddress(),
		namespace:       unique.Make(s.GetNamespace()),
		transport:       unique.Make(s.GetTransport()),
		connectedUnixNs: s.GetConnectedUnixNs(),
	}
}

func (r remembered) socket(id string) *eventhub.Socket {
	return &eventhub.Socket{
		ID:          id,
		User:        r.user,
		Namespace:   r.namespace.Value(),
		Address:     r.address,
		Transport:   r.transport.Value(),
		ConnectTime: time.Unix(0, r.connectedUnixNs),
	}
}
