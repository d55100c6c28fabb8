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

// Limits of what is on its way, and how often is looked after it.
const (
	// window is how many events may be on their way to one subscription, and
	// windowBytes how many bytes of them; one event always may.
	window      = 4096
	windowBytes = 4 << 20
	// batchBytes is how many bytes of events go into one message, about.
	batchBytes = 256 << 10
	// tickEvery is how often is looked at what waits for something.
	tickEvery = 500 * time.Millisecond
	// resendAfter is how long nothing may be heard of events until they are sent
	// again.
	resendAfter = 2 * time.Second
	// rosterEvery is how often the ids of all subscriptions are sent.
	rosterEvery = 3 * time.Second
	// rememberedFor is how long it is known what became of a feed.
	rememberedFor = time.Minute
	// maxAnswerBytes bounds the answers that wait to be sent.
	maxAnswerBytes = 16 << 20
)

// Options say what [Peers] work with. All are required.
type Options struct {
	// Hub is this node's.
	Hub *eventhub.Hub
	// Send sends something to another node and must not wait. After an error
	// nothing has been sent.
	Send func(to cluster.NodeID, t *wire.EventTraffic) error
	// Up reports whether other nodes can be reached.
	Up func() bool
	// Logger is told what can't be done.
	Logger *slog.Logger
}

// Peers are the other nodes as this node's hub sees them. All methods may be
// called concurrently; none but Run waits for anything.
type Peers struct {
	// Static.
	opts    Options
	bell    *eventhub.Bell
	changed <-chan struct{} // subscriptions have come or gone
	answers *answers

	// Guarded by mu.
	mu        sync.Mutex
	nodes     map[cluster.NodeID]*node
	forwards  map[*eventhub.Remote]*forward
	feeds     map[*eventhub.Source]*feed
	waiting   map[*forward]struct{} // have something to send, unless they may not
	sessions  uint64                // how many forwards there have been
	announced uint64                // the last subscription that others were told of
	lastIDs   []uint64              // of the last roster
	rosterAt  time.Time
	into      [64]eventhub.Delivery
}

// node is another node that is there.
type node struct {
	id       cluster.NodeID
	forwards map[uint64]*forward // by the subscription there
	feeds    map[uint64]*feed    // by the subscription here
	ended    map[uint64]ended    // the same, of a little while ago
	progress []*wire.EventProgress
}

// New returns peers of a node that knows no others yet.
func New(o Options) *Peers {
	return &Peers{
		opts:     o,
		bell:     eventhub.NewBell(),
		changed:  o.Hub.Watch(),
		answers:  &answers{},
		nodes:    make(map[cluster.NodeID]*node),
		forwards: make(map[*eventhub.Remote]*forward),
		feeds:    make(map[*eventhub.Source]*feed),
		waiting:  make(map[*forward]struct{}),
	}
}

// Run forwards events and answers until ctx ends, and then what is there still. It
// is called once.
func (p *Peers) Run(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.work()
			p.leave()
			return
		case <-p.bell.Rung():
			p.work()
		case <-p.changed:
			p.announce()
		case <-tick.C:
			p.tick(time.Now())
			p.work()
		}
	}
}

// leave gives back to the hub what could not be brought to other nodes.
func (p *Peers) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.nodes {
		p.part(n)
	}
}

// Joined says that a node is there.
func (p *Peers) Joined(id cluster.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.nodes[id]; ok {
		return
	}
	n := &node{id: id, forwards: make(map[uint64]*forward), feeds: make(map[uint64]*feed), ended: make(map[uint64]ended)}
	p.nodes[id] = n
	p.tellRoster(n, 0)
	p.say(n, &wire.EventTraffic{Body: &wire.EventTraffic_RosterRequest{RosterRequest: &wire.RosterRequest{}}})
}

// Gone says that a node has left or was lost. What was on its way to its
// subscriptions goes to others.
func (p *Peers) Gone(id cluster.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := p.nodes[id]; ok {
		p.part(n)
	}
}

// part is the end of a node. The caller holds mu.
func (p *Peers) part(n *node) {
	for _, f := range n.forwards {
		p.stop(f, false)
	}
	for _, f := range n.feeds {
		p.forget(f)
		f.source.Leave()
	}
	delete(p.nodes, n.id)
}

// Receive takes what another node says. What comes from a node that isn't there is
// ignored: it says so again, or will be asked.
func (p *Peers) Receive(from cluster.NodeID, t *wire.EventTraffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.nodes[from]
	if !ok {
		return
	}
	switch body := t.GetBody().(type) {
	case *wire.EventTraffic_Roster:
		p.heardRoster(n, body.Roster)
	case *wire.EventTraffic_RosterRequest:
		p.tellRoster(n, 0)
	case *wire.EventTraffic_Batch:
		p.offer(n, body.Batch)
	case *wire.EventTraffic_Feedback:
		p.heardFeedback(n, body.Feedback)
	case *wire.EventTraffic_Stop:
		p.heardStop(n, body.Stop)
	}
}

// say sends something to a node. What can't be sent now is sent again in time,
// or asked for.
func (p *Peers) say(n *node, t *wire.EventTraffic) {
	if err := p.opts.Send(n.id, t); err != nil {
		p.opts.Logger.Debug("a node can't be told of events", "node", string(n.id), "error", err)
	}
}

// work does what the bell was rung for.
func (p *Peers) work() {
	remotes, sources := p.bell.Answer()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range remotes {
		if f, ok := p.forwards[r]; ok {
			p.waiting[f] = struct{}{}
		}
	}
	for f := range p.waiting {
		delete(p.waiting, f)
		p.forward(f)
	}
	if !p.opts.Up() {
		return // tick comes back to it
	}
	for _, s := range sources {
		if f, ok := p.feeds[s]; ok {
			p.report(f)
		}
	}
	p.sendFeedback()
}

// tick looks after what nobody rings the bell for.
func (p *Peers) tick(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.opts.Up() {
		return
	}
	for _, f := range p.forwards {
		p.waiting[f] = struct{}{}
		p.resend(f, now)
	}
	for _, f := range p.feeds {
		p.report(f)
	}
	for _, n := range p.nodes {
		maps.DeleteFunc(n.ended, func(_ uint64, e ended) bool { return now.Sub(e.since) > rememberedFor })
	}
	if now.Sub(p.rosterAt) >= rosterEvery {
		p.rosterAt = now
		for _, n := range p.nodes {
			p.tellRoster(n, p.announced)
		}
	}
}
