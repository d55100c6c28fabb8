package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// Handler is what a [Mesh] calls. Deliver is called one at a time, and so are
// the four about membership, which come in the order in which things happened;
// the rest concurrently.
type Handler interface {
	// Deliver takes a payload that another node has published. It must not
	// block: everything that arrives at this node waits for it. If d.WantsAnswer, what
	// it returns goes back to the publisher.
	Deliver(d Delivery) (answer []byte)

	// Answer answers another node's call, in a goroutine of its own. The
	// caller doesn't wait any longer once ctx has ended. An error travels as text.
	Answer(ctx context.Context, from NodeID, request []byte) (answer []byte, err error)

	// NodeJoined: a node is there that wasn't, or is back.
	NodeJoined(n Node)
	// NodeLeft: a node has said that it leaves.
	NodeLeft(n Node)
	// NodeLost: a node has been silent for too long. It may come back.
	NodeLost(n Node)
	// Rejoined: others had taken this node for lost, and now know that it is
	// there. They may have forgotten what they knew of it.
	Rejoined()
}

// Delivery is what another node has published.
type Delivery struct {
	// From is the node that published it.
	From NodeID
	// Topic is what it was published to; empty if it came to this node alone.
	Topic Topic
	// Payload is what was published. The handler may keep it.
	Payload []byte
	// WantsAnswer: the publisher waits for an answer.
	WantsAnswer bool
}

// Options configure a [Mesh].
type Options struct {
	// Bus carries its messages. The mesh runs it.
	Bus Bus
	// Handler is called with what arrives.
	Handler Handler
	// ID is this node's; by default a new one.
	ID NodeID
	// Name is the cluster's, for several on one Redis: letters, digits, "-",
	// "_" and "."; by default "sala".
	Name string
	// Keys sign everything that nodes say, see the package's documentation: the
	// first signs, all are believed. At least 32 bytes each, none twice; without
	// any everyone on the bus is trusted.
	Keys [][]byte
	// Info describes this node. It is called for every heartbeat and by
	// [Mesh.Nodes], concurrently, and must not block; by default it says nothing.
	Info func() Info
	// Observer is told what happens; may be nil.
	Observer Observer
	// Logger is told what doesn't work, and what to do; may be nil.
	Logger *slog.Logger
	// Now tells the time that envelopes carry; by default [time.Now].
	Now func() time.Time
	// Heartbeat is how often a node says that it is there; by default 1 s.
	Heartbeat time.Duration
	// DeadAfter is how long a node may be silent; by default 4 s, at least
	// twice Heartbeat.
	DeadAfter time.Duration
	// MaxEnvelopeBytes bounds an envelope; by default 8 MiB. All nodes must
	// have the same.
	MaxEnvelopeBytes int
	// MaxAge is how much older or younger than this node's clock an envelope may
	// be; by default 30 s. Looked at only with Keys.
	MaxAge time.Duration
}

// Mesh is one node's part in a cluster. All methods may be called concurrently.
type Mesh struct {
	// Static.
	id       NodeID
	prefix   string
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

	// Locks of their own; none is held while another is taken but that of
	// subscriptions, while the bus's is.
	health        *health
	clocks        *clocks
	members       *members
	replays       *replays
	subscriptions *subscriptions
	pending       *pending

	strangersUntil atomic.Int64 // Unix time in ns: somebody who is no node listens to topics

	sequence    atomic.Uint64
	incarnation atomic.Uint64
	running     atomic.Bool
	beats       atomic.Uint64
	beatNow     chan struct{} // holds one token: a heartbeat is due at once
	joinNow     chan struct{} // the same: the bus has connected

	// Guarded by mu.
	mu       sync.Mutex
	state    State
	downed   chan struct{} // closed while disconnected
	ready    chan struct{} // closed once the other nodes are known
	readySet bool
}

// New returns a node that isn't part of the cluster before [Mesh.Run].
func New(o Options) (*Mesh, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	m := &Mesh{
		id:       o.ID,
		prefix:   o.Name + ":",
		bus:      o.Bus,
		handler:  o.Handler,
		observer: o.Observer,
		info:     o.Info,
		beat:     o.Heartbeat,
		maxAge:   o.MaxAge,
		now:      o.Now,
		sealer:   newSealer(o.Keys, o.MaxEnvelopeBytes),
		notices:  newNotices(),
		replays:  newReplays(2 * o.MaxAge),
		pending:  newPending(),
		beatNow:  make(chan struct{}, 1),
		joinNow:  make(chan struct{}, 1),
		downed:   make(chan struct{}),
		ready:    make(chan struct{}),
	}
	close(m.downed)
	m.health = &health{log: o.Logger}
	m.members = newMembers(o.DeadAfter, m.nodeChannel)
	m.clocks = &clocks{log: o.Logger, keep: o.DeadAfter, nodes: m.members.len, refused: make(map[NodeID]*refusal)}
	m.outbox = newOutbox(o.Bus, o.Observer, m.members.channels)
	m.answers = newAnswerers(m)
	m.subscriptions = newSubscriptions(o.Bus, m.topicChannel)
	m.incarnation.Store(1)
	return m, nil
}

func (o *Options) defaults() error {
	if o.ID == "" {
		o.ID = NewNodeID()
	}
	if o.Name == "" {
		o.Name = "sala"
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Info == nil {
		o.Info = func() Info { return Info{} }
	}
	setDefault(&o.Heartbeat, time.Second)
	setDefault(&o.DeadAfter, 4*time.Second)
	setDefault(&o.MaxEnvelopeBytes, 8<<20)
	setDefault(&o.MaxAge, 30*time.Second)
	switch {
	case o.Bus == nil || o.Handler == nil:
		return errors.New("cluster: a bus and a handler are needed")
	case len(o.ID) != NodeIDBytes:
		return fmt.Errorf("cluster: a node's id has %d bytes, %q hasn't", NodeIDBytes, o.ID)
	case !ValidName(o.Name):
		return fmt.Errorf("cluster: the name %q has other characters than letters, digits, '-', '_' and '.'", o.Name)
	case o.DeadAfter < 2*o.Heartbeat:
		return errors.New("cluster: a node is dead after two heartbeats at the earliest")
	}
	if err := CheckKeys(o.Keys); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// CheckKeys returns what is wrong with the keys of a cluster, without showing
// any of them.
func CheckKeys(keys [][]byte) error {
	for i, key := range keys {
		if len(key) < MinKeyBytes {
			return fmt.Errorf("key %d has %d bytes, at least %d are needed, the same on every node; make one with: openssl rand -hex 32", i+1, len(key), MinKeyBytes)
		}
		if slices.ContainsFunc(keys[:i], func(other []byte) bool { return bytes.Equal(key, other) }) {
			return fmt.Errorf("key %d is there twice", i+1)
		}
	}
	return nil
}

// MinKeyBytes is how long a key must be.
const MinKeyBytes = 32

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// ValidName reports whether a cluster can have that name.
func ValidName(name string) bool { return name != "" && strings.Trim(name, nameChars) == "" }

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// ID returns this node's id.
func (m *Mesh) ID() NodeID { return m.id }

// Incarnation returns how often this node has had to join, from 1.
func (m *Mesh) Incarnation() uint64 { return m.incarnation.Load() }

// Run makes this node part of the cluster until ctx ends. Then it tells the
// others that it leaves, and returns when all that it started has ended. It is
// called once; while the bus can't be reached it goes on trying.
func (m *Mesh) Run(ctx context.Context) error {
	if m.running.Swap(true) {
		return errors.New("cluster: Run was called twice")
	}
	for _, channel := range m.nodesChannels() {
		m.bus.Subscribe(channel)
	}
	m.bus.Identify(m.nodeChannel(m.id))

	// They end from the top down: first what asks for something, last the bus.
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
	m.live(ctx)

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

// live says that this node is there, and looks who else is, until ctx ends.
func (m *Mesh) live(ctx context.Context) {
	sweepEvery := m.beat / 4
	beats, sweeps := time.NewTicker(m.beat), time.NewTicker(sweepEvery)
	defer beats.Stop()
	defer sweeps.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.joinNow:
			m.join(ctx)
		case <-m.beatNow:
			m.heartbeat(ctx)
		case <-beats.C:
			m.heartbeat(ctx)
		case <-sweeps.C:
			m.sweep(sweepEvery)
		}
	}
}

// State returns whether the cluster can be reached: the bus is connected, and this
// node hears what it says itself.
func (m *Mesh) State() State {
	if m.health.isDeaf() {
		return Disconnected
	}
	return m.bus.State()
}

// Ready returns a channel that is closed once this node has found the cluster
// and knows the nodes that are there. Before, [Mesh.Nodes] is a short list.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Nodes returns the nodes that are there, this one first.
func (m *Mesh) Nodes() []Node {
	self := Node{Info: m.info(), ID: m.id, Incarnation: m.incarnation.Load()}
	return append([]Node{self}, m.members.list()...)
}

// HasNode reports whether another node of that id is there.
func (m *Mesh) HasNode(id NodeID) bool { return m.members.has(id) }

// Announce sends a heartbeat at once, for what [Options.Info] has just begun to
// say.
func (m *Mesh) Announce() { token(m.beatNow) }

// token leaves a token in a channel with room for one.
func token(ch chan struct{}) {
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

// The channels that nodes use.

// nodesChannels are two that every node hears. They live on different servers, so
// that nodes don't lose each other with one.
func (m *Mesh) nodesChannels() [2]string {
	return [2]string{m.prefix + "nodes", apart(m.prefix + "nodes")}
}
func (m *Mesh) nodeChannel(id NodeID) string    { return m.prefix + "node:" + string(id) }
func (m *Mesh) topicChannel(topic Topic) string { return m.prefix + "topic:" + string(topic) }
func (m *Mesh) table(name string) string        { return m.prefix + "table:" + name }

// envelope returns an envelope of this node's, to be filled.
func (m *Mesh) envelope() *wire.Envelope {
	return &wire.Envelope{
		Sender:      string(m.id),
		Incarnation: m.incarnation.Load(),
		Sequence:    m.sequence.Add(1),
		SentUnixMs:  m.now().UnixMilli(),
	}
}

// sealed returns an envelope as it goes out.
func (m *Mesh) sealed(channel string, e *wire.Envelope, done func(Receipt, error)) (outgoing, error) {
	frame, err := m.sealer.seal(channel, e)
	if err != nil {
		return outgoing{}, err
	}
	return outgoing{message: Message{Channel: channel, Payload: frame}, done: done}, nil
}

// sendAll sends an envelope to all nodes, by the other channel if one fails.
func (m *Mesh) sendAll(e *wire.Envelope, done func(Receipt, error)) error {
	channels := m.nodesChannels()
	return m.send(channels[0], e, func(r Receipt, err error) {
		if err == nil || m.send(channels[1], e, done) != nil {
			done(r, err)
		}
	})
}

// send seals an envelope and puts it into the outbox.
func (m *Mesh) send(channel string, e *wire.Envelope, done func(Receipt, error)) error {
	item, err := m.sealed(channel, e, done)
	if err != nil {
		return err
	}
	return m.outbox.add(item)
}
