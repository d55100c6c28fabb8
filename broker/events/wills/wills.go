package wills

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/events"
)

const (
	// checkEvery is how often the heir is asked whether it remembers everything.
	checkEvery = time.Second
	// batchSockets is how many sockets go into one message.
	batchSockets = 1000
	// maxPending is how many changes may wait to be sent; if there are more, the
	// will begins anew.
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
	Hub *events.Hub
	// Sockets returns all sockets of this node.
	Sockets func() []*events.Socket
	// Send sends something to another node and must not wait. After an error
	// nothing has been sent.
	Send func(to cluster.NodeID, t *wire.EventTraffic) error
	// Ask asks all other nodes what they remember of a lost one, and waits for
	// the answers.
	Ask func(ctx context.Context, lost cluster.NodeID) []*wire.WillState
	// Gone is called with each socket of a lost node. It must be quick.
	Gone func(*events.Socket)
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
	mu        sync.Mutex
	nodes     map[cluster.NodeID]struct{} // that are there
	kept      map[cluster.NodeID]*estate
	lost      []*estate // whose will is to be read
	closed    map[cluster.NodeID]closed
	heard     *wire.WillState // what the heir says
	heardFrom cluster.NodeID
}

// estate is what is remembered of another node's sockets.
type estate struct {
	node          cluster.NodeID
	epoch, number uint64
	complete      bool
	sockets       map[string]*events.Socket
}

// closed is the state of a will that has been read.
type closed struct {
	state *wire.WillState
	since time.Time
}

// New returns the wills of a node that knows no others yet.
func New(o Options) *Wills {
	return &Wills{
		opts:    o,
		changed: o.Hub.Watch(),
		wake:    make(chan struct{}, 1),
		nodes:   make(map[cluster.NodeID]struct{}),
		kept:    make(map[cluster.NodeID]*estate),
		closed:  make(map[cluster.NodeID]closed),
		own:     will{formers: make(map[cluster.NodeID]struct{})},
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
		for _, e := range w.toRead() {
			readers.Go(func() { w.read(ctx, e) })
		}
	}
}

func (w *Wills) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Joined says that a node is there.
func (w *Wills) Joined(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[id] = struct{}{}
	delete(w.closed, id)
	w.ring()
}

// Left says that a node has left, and has said so to all that wanted to hear.
func (w *Wills) Left(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, id)
	delete(w.kept, id)
	w.ring()
}

// Lost says that a node was lost, after which its subscriptions get nothing more.
func (w *Wills) Lost(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, id)
	if e := w.kept[id]; e != nil {
		delete(w.kept, id)
		w.closed[id] = closed{e.state(), time.Now()}
		w.lost = append(w.lost, e)
	}
	w.ring()
}

// Receive takes what another node says of its will, or of this node's.
func (w *Wills) Receive(from cluster.NodeID, t *wire.EventTraffic) {
	switch body := t.GetBody().(type) {
	case *wire.EventTraffic_Will:
		w.remember(from, body.Will)
	case *wire.EventTraffic_WillState:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.heard, w.heardFrom = body.WillState, from
		w.ring()
	}
}

// remember takes a part of another node's will.
func (w *Wills) remember(from cluster.NodeID, part *wire.Will) {
	w.mu.Lock()
	defer w.mu.Unlock()
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
		e = &estate{node: from, epoch: part.GetEpoch(), sockets: make(map[string]*events.Socket)}
		w.kept[from] = e
	case e == nil:
		return
	case e.epoch != part.GetEpoch() || e.number+1 != part.GetNumber():
		e.complete = false // which the other node finds out when it asks
		return
	}
	e.number = part.GetNumber()
	for _, s := range part.GetSockets() {
		if len(e.sockets) < maxSockets {
			e.sockets[s.GetId()] = socketFrom(s)
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
	return &wire.WillState{Epoch: e.epoch, Number: e.number, Complete: e.complete}
}

// Find returns what this node remembers of a lost one, for others that do too.
func (w *Wills) Find(lost cluster.NodeID) *wire.WillState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.closed[lost]; ok {
		return c.state
	}
	return w.kept[lost].state()
}

// toRead returns the wills that are to be read now.
func (w *Wills) toRead() []*estate {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := w.lost
	w.lost = nil
	for id, c := range w.closed {
		if time.Since(c.since) > rememberedFor {
			delete(w.closed, id)
		}
	}
	return lost
}

// read says that the sockets of a lost node are gone, unless another node
// does that.
func (w *Wills) read(ctx context.Context, e *estate) {
	for _, theirs := range w.opts.Ask(ctx, e.node) {
		if better(theirs, e.state()) {
			return
		}
	}
	for _, s := range e.sockets {
		w.opts.Gone(s)
	}
	w.opts.Logger.Info("the sockets of a lost node are gone", "node", string(e.node), "sockets", len(e.sockets))
}

// better reports whether a knows more than b.
func better(a, b *wire.WillState) bool {
	if a.GetComplete() != b.GetComplete() {
		return a.GetComplete()
	}
	return a.GetEpoch() > b.GetEpoch()
}

// say sends something to a node and reports whether that could be.
func (w *Wills) say(to cluster.NodeID, t *wire.EventTraffic) bool { return w.opts.Send(to, t) == nil }

func socketTo(s *events.Socket) *wire.EventSocket {
	return &wire.EventSocket{
		Id:              s.ID,
		User:            s.User,
		Namespace:       s.Namespace,
		Address:         s.Address,
		Transport:       s.Transport,
		ConnectedUnixNs: s.ConnectTime.UnixNano(),
	}
}

func socketFrom(s *wire.EventSocket) *events.Socket {
	return &events.Socket{
		ID:          s.GetId(),
		User:        s.GetUser(),
		Namespace:   s.GetNamespace(),
		Address:     s.GetAddress(),
		Transport:   s.GetTransport(),
		ConnectTime: time.Unix(0, s.GetConnectedUnixNs()),
	}
}
