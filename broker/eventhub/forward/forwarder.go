package forward

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

const (
	// window is how many events may be in flight to one subscription, and windowBytes how many
	// bytes of them. One event may always be in flight.
	window      = 4096
	windowBytes = 4 << 20
	// batchBytes is about how many bytes go into one message.
	batchBytes = 256 << 10
	// tickEvery is how often the forwarder looks for what has waited too long.
	tickEvery = 500 * time.Millisecond
	// resendAfter is how long events may go unacknowledged until they are sent again.
	resendAfter = 2 * time.Second
	// listEvery is how often the ids of all subscriptions are sent, with what a node may lack.
	listEvery = 3 * time.Second
	// keepEndedFor is how long the last report of an ended subscription is kept.
	keepEndedFor = time.Minute
)

// Options configure a [Forwarder]. All are required.
type Options struct {
	// Self is this node.
	Self cluster.NodeID
	// Hub is this node's hub.
	Hub *eventhub.Hub
	// Nodes returns the other nodes that are there. It is called with locks held and must not wait.
	Nodes func() []cluster.NodeID
	// Send sends a message to another node and must not wait. After an error nothing was sent. It
	// is called from one goroutine at a time.
	Send func(to cluster.NodeID, t *wire.EventTraffic) error
	// Reachable reports whether messages can reach other nodes at all.
	Reachable func() bool
	// Logger gets what can't be done.
	Logger *slog.Logger
}

// Forwarder forwards events between this node's hub and the hubs of other nodes. It implements
// [eventhub.Transport] for them. Its methods may be called concurrently; none but Run,
// AwaitSubscribed and Flush waits for anything.
type Forwarder struct {
	// Static.
	opts    Options
	notices *notices
	changed <-chan struct{} // subscriptions have come or gone

	// Guarded by mu.
	mu        sync.Mutex
	peers     map[cluster.NodeID]*peer
	outbounds map[*eventhub.Remote]*outbound
	inbounds  map[*eventhub.Source]*inbound
	sessions  uint64   // how many sessions there have been
	described uint64   // the last subscription that was sent to other nodes
	lastIDs   []uint64 // of the last list
	listedAt  time.Time
	scratch   [64]eventhub.Delivery
	flushes   map[*flush]struct{} // that wait for events to arrive
	taken     chan struct{}       // closed, and replaced, when a peer has taken a list, or is gone
}

// peer is another node that is there.
type peer struct {
	id        cluster.NodeID
	outbounds map[uint64]*outbound   // by the subscription there
	inbounds  map[uint64]*inbound    // by the subscription here
	ended     map[uint64]finalReport // of inbounds that ended a short while ago
	feedback  *wire.EventFeedback    // to be sent
	taken     uint64                 // the newest subscription here that it offers events to
	refused   bool                   // it couldn't represent all of the last list
	refusing  bool                   // this node can't represent all of the list that is arriving
}

// New returns a forwarder that knows no other nodes yet.
func New(o Options) *Forwarder {
	return &Forwarder{
		opts:      o,
		notices:   newNotices(),
		changed:   o.Hub.Watch(),
		peers:     make(map[cluster.NodeID]*peer),
		outbounds: make(map[*eventhub.Remote]*outbound),
		inbounds:  make(map[*eventhub.Source]*inbound),
		flushes:   make(map[*flush]struct{}),
		taken:     make(chan struct{}),
	}
}

// Run forwards events and answers until ctx ends, and then those that are left. It is called once.
func (f *Forwarder) Run(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			f.work()
			f.leave()
			return
		case <-f.notices.ready:
			f.work()
		case <-f.changed:
			f.announce()
		case <-tick.C:
			f.tick(time.Now())
			f.work()
		}
	}
}

// leave returns to the hub what couldn't be carried to other nodes.
func (f *Forwarder) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		f.drop(p)
	}
}

// Joined says that a node is there.
func (f *Forwarder) Joined(id cluster.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.peers[id]; ok {
		return
	}
	p := &peer{
		id:        id,
		outbounds: make(map[uint64]*outbound),
		inbounds:  make(map[uint64]*inbound),
		ended:     make(map[uint64]finalReport),
		feedback:  &wire.EventFeedback{},
	}
	f.peers[id] = p
	f.sendList(p, 0)
	f.requestList(p)
}

// Gone says that a node has left or was lost. Events in flight to its subscriptions go to
// others.
func (f *Forwarder) Gone(id cluster.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.peers[id]; ok {
		f.drop(p)
	}
}

// drop forgets a node. The caller holds mu.
func (f *Forwarder) drop(p *peer) {
	for _, out := range p.outbounds {
		f.stop(out)
	}
	for _, in := range p.inbounds {
		f.removeInbound(in)
		in.source.Detach()
	}
	delete(f.peers, p.id)
	f.wakeSubscribed()
}

// Receive takes a message of another node. Messages of a node that isn't there are ignored: it
// sends them again, or is asked for them.
func (f *Forwarder) Receive(from cluster.NodeID, t *wire.EventTraffic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.peers[from]
	if !ok {
		return
	}
	switch body := t.GetBody().(type) {
	case *wire.EventTraffic_Subscriptions:
		f.receiveList(p, body.Subscriptions)
	case *wire.EventTraffic_SubscriptionsRequest:
		f.sendList(p, 0)
	case *wire.EventTraffic_SubscriptionsTaken:
		f.receiveTaken(p, body.SubscriptionsTaken)
	case *wire.EventTraffic_Batch:
		f.receiveBatch(p, body.Batch)
	case *wire.EventTraffic_Feedback:
		f.receiveFeedback(p, body.Feedback)
	case *wire.EventTraffic_Stop:
		f.receiveStop(p, body.Stop)
	}
}

// send sends a message to a node. If it is lost it is sent again, or asked for.
func (f *Forwarder) send(p *peer, t *wire.EventTraffic) {
	if err := f.opts.Send(p.id, t); err != nil {
		f.opts.Logger.Debug("a message about events couldn't be sent", "node", string(p.id), "error", err)
	}
}

// work does what the hub has given notice of.
func (f *Forwarder) work() {
	remotes, sources := f.notices.takeChanged()
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range remotes {
		if out, ok := f.outbounds[r]; ok {
			f.forward(out)
		}
	}
	if !f.opts.Reachable() {
		return // tick comes back to it
	}
	for s := range sources {
		if in, ok := f.inbounds[s]; ok {
			f.report(in)
		}
	}
	f.sendFeedback()
}

// tick does what is due without notice.
func (f *Forwarder) tick(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.opts.Reachable() {
		return
	}
	for _, out := range f.outbounds {
		f.RemoteChanged(out.remote)
		f.resend(out, now)
	}
	for _, in := range f.inbounds {
		f.report(in)
	}
	for _, p := range f.peers {
		maps.DeleteFunc(p.ended, func(_ uint64, r finalReport) bool { return now.Sub(r.at) > keepEndedFor })
	}
	if now.Sub(f.listedAt) >= listEvery {
		f.listedAt = now
		for _, p := range f.peers {
			f.sendList(p, p.taken)
		}
	}
}
