package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Mesh is one node's part in a cluster. All methods may be called concurrently.
type Mesh struct {
	// Static.
	id       NodeID
	prefix   string // of all channels and tables
	bus      Bus
	handler  Handler
	observer Observer
	info     func() Info
	beat     time.Duration
	maxAge   time.Duration
	now      func() time.Time
	sealer   *sealer
	outbox   *outbox
	notices  *notices
	answers  *answerers
	requests requests

	// These have locks of their own. None is held while another is taken, except that subscriptions
	// call the bus with theirs.
	health        *health
	clocks        *clocks
	members       *members
	replays       *replays
	subscriptions *subscriptions
	collectors    *collectors

	foreignUntil atomic.Int64 // Unix time in ns until which topics are assumed to have subscribers that aren't nodes

	sequence    atomic.Uint64
	incarnation atomic.Uint64
	running     atomic.Bool
	beats       atomic.Uint64
	beatNow     chan struct{} // holds one token if a heartbeat is due at once
	joinNow     chan struct{} // holds one token if the bus has connected

	// Guarded by mu.
	mu       sync.Mutex
	state    State
	downed   chan struct{} // closed while disconnected
	ready    chan struct{} // closed once the other nodes are known
	readySet bool
}

// New returns a node. It joins the cluster in [Mesh.Run]. The error says what is wrong with the
// options.
func New(o Options) (*Mesh, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	m := &Mesh{
		id:         o.ID,
		prefix:     o.Name + ":",
		bus:        o.Bus,
		handler:    o.Handler,
		observer:   o.Observer,
		info:       o.Info,
		beat:       o.Heartbeat,
		maxAge:     o.MaxAge,
		now:        o.Now,
		sealer:     newSealer(o.Keys, o.MaxEnvelopeBytes),
		notices:    newNotices(),
		replays:    newReplays(2 * o.MaxAge),
		collectors: newCollectors(),
		beatNow:    make(chan struct{}, 1),
		joinNow:    make(chan struct{}, 1),
		requests:   newRequests(o.Keys, o.MaxAge),
		downed:     make(chan struct{}),
		ready:      make(chan struct{}),
	}
	close(m.downed)
	m.health = &health{log: o.Logger}
	m.members = newMembers(o.DeadAfter, m.nodeChannel)
	m.clocks = &clocks{log: o.Logger, keep: o.DeadAfter, nodes: m.members.len, skewed: make(map[NodeID]*skewedNode)}
	m.outbox = newOutbox(o.Bus, o.Observer, m.members.channels)
	m.answers = newAnswerers(m)
	m.subscriptions = newSubscriptions(o.Bus, m.topicChannel)
	m.incarnation.Store(1)
	return m, nil
}

// ID returns this node's id.
func (m *Mesh) ID() NodeID { return m.id }

// Incarnation returns how often this node has joined the cluster, from 1.
func (m *Mesh) Incarnation() uint64 { return m.incarnation.Load() }

// Run makes this node part of the cluster until ctx ends. Then it tells the other nodes that it
// leaves, and returns when everything that it started has ended. It must be called once. While the
// bus can't be reached, Run keeps trying. Its error is that of [Bus.Run].
func (m *Mesh) Run(ctx context.Context) error {
	again := m.running.Swap(true)
	if again {
		return errors.New("cluster: Run was called twice")
	}
	for _, channel := range m.nodesChannels() {
		m.bus.Subscribe(channel)
	}
	m.bus.Identify(m.nodeChannel(m.id))

	// They end from the top down: the senders of calls first, the bus last.
	busCtx, stopBus := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBus()
	outCtx, stopOut := context.WithCancel(busCtx)
	defer stopOut()

	m.answers.start(outCtx)
	var busRun, outRun, rest sync.WaitGroup
	var err error
	busRun.Go(func() { err = m.bus.Run(busCtx, meshReceiver{m}) })
	outRun.Go(func() { m.outbox.run(outCtx) })
	rest.Go(func() { m.notices.run(ctx, m.handler) })
	m.beatAndSweep(ctx)

	m.leave(busCtx)
	m.answers.stop()
	rest.Wait()
	stopOut()
	outRun.Wait()
	stopBus()
	busRun.Wait()
	m.setState(Disconnected)
	return err
}

// State returns whether the cluster can be reached: the bus is connected, and this node receives
// its own messages.
func (m *Mesh) State() State {
	if m.health.isIsolated() {
		return Disconnected
	}
	return m.bus.State()
}

// Ready returns a channel that is closed once this node has joined the cluster and knows the other
// nodes. Before that, [Mesh.Nodes] is incomplete.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Nodes returns the nodes of the cluster, this one first.
func (m *Mesh) Nodes() []Node {
	self := Node{Info: m.info(), ID: m.id, Incarnation: m.incarnation.Load()}
	return append([]Node{self}, m.members.list()...)
}

// HasNode reports whether another node with that id is in the cluster.
func (m *Mesh) HasNode(id NodeID) bool { return m.members.has(id) }

// Silent returns the other nodes that haven't been heard for so long that they may be lost. They are
// still among [Mesh.Nodes].
func (m *Mesh) Silent() []NodeID { return m.members.silent() }

// Node returns another node of the cluster as it last described itself, and whether it is there.
func (m *Mesh) Node(id NodeID) (Node, bool) { return m.members.get(id) }

// Announce sends a heartbeat at once, because the result of [Options.Info] has changed.
func (m *Mesh) Announce() { signal(m.beatNow) }

// signal puts a token into a channel that holds one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (m *Mesh) setState(s State) {
	m.mu.Lock()
	changed := m.state != s
	if changed {
		m.state = s
		if s == Connected {
			m.downed = make(chan struct{})
		} else {
			close(m.downed)
		}
	}
	m.mu.Unlock()
	if changed {
		m.observer.StateChanged(s)
	}
}

// down returns a channel that is closed while, or as soon as, the bus is disconnected.
func (m *Mesh) down() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.downed
}

func (m *Mesh) setReady() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.readySet {
		m.readySet = true
		close(m.ready)
	}
}
