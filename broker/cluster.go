package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/room"
)

// ClusterOptions makes a broker of several nodes.
type ClusterOptions struct {
	// Bus carries what the nodes say to each other. Required.
	Bus cluster.Bus
	// Name tells clusters apart that share a bus; "sala" by default.
	Name string
	// Keys, of at least 32 bytes each, sign what nodes say: the first signs, all
	// are believed. Without any everybody who can reach the bus is trusted.
	Keys [][]byte
	// Address is where this node can be reached, for people.
	Address string
	// Now tells the time that messages to other nodes carry; by default [time.Now]. It is
	// for tests of clocks that differ.
	Now func() time.Time
	// Emitters hears the official Socket.IO emitters, which the broker obeys then;
	// nil for none. Whoever can publish to it is trusted.
	Emitters EmitterListener
}

// Limits of how long other nodes are waited for.
const (
	// reportTimeout is for counts: they are worth little later.
	reportTimeout = 250 * time.Millisecond
	// queryTimeout is for lists and for calls that change something.
	queryTimeout = 2 * time.Second
	// interestTimeout is how long a join waits until this node hears what
	// others send to the room.
	interestTimeout = time.Second
)

// reserveLeast is the least time that a caller with a deadline gets back, so
// that a partial answer still reaches it.
const reserveLeast = 20 * time.Millisecond

// waitAtMost returns how long to wait for other nodes: at most so long, and not
// up to the caller's deadline. A tenth of the time that is left, or
// [reserveLeast] if that is more, is for bringing the answer back. Otherwise a
// node that is dead and not noticed yet would turn a partial answer into
// DEADLINE_EXCEEDED.
func waitAtMost(ctx context.Context, most time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return most
	}
	left := time.Until(deadline)
	reserve := min(max(left/10, reserveLeast), left/2)
	return min(most, left-reserve)
}

// forOthers bounds a wait for other nodes as [waitAtMost] says.
func forOthers(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, waitAtMost(ctx, most))
}

// envelopeOverhead is more than an order takes beside its message.
const envelopeOverhead = 1 << 20

// joinCluster makes the node's part in a cluster, which begins with Run.
func (b *Broker) joinCluster(o *ClusterOptions) error {
	observer := newClusterMetrics(b)
	mesh, err := cluster.New(cluster.Options{
		Bus:              o.Bus,
		Handler:          (*node)(b),
		ID:               cluster.NodeID(b.id),
		Name:             o.Name,
		Keys:             o.Keys,
		Now:              o.Now,
		Info:             func() cluster.Info { return b.clusterInfo(o.Address) },
		Observer:         observer,
		Logger:           b.log,
		MaxEnvelopeBytes: int(max(8<<20, b.opts.MaxMessageBytes+envelopeOverhead)),
	})
	if err != nil {
		return &Error{Code: CodeInvalidArgument, Reason: ReasonInvalidArgument, Message: err.Error()}
	}
	b.mesh = mesh
	b.shareRevocations()
	if b.opts.Metrics != nil {
		if err := b.opts.Metrics.Register(observer); err != nil {
			return &Error{Code: CodeInternal, Reason: ReasonMetrics, Message: err.Error()}
		}
	}
	return nil
}

func (b *Broker) clusterInfo(address string) cluster.Info {
	info := b.info()
	return cluster.Info{
		Version:  b.opts.Version,
		Address:  address,
		Sockets:  uint32(info.Sockets), //nolint:gosec // bounded by file descriptors
		Rooms:    uint32(info.Rooms),   //nolint:gosec // bounded by sockets and rooms of each
		Draining: info.State == NodeDraining,
		Started:  b.started,
	}
}

// Run watches the clock and takes part in the cluster, if there is one, until ctx
// ends, and then says goodbye to the other nodes. It is called once.
func (b *Broker) Run(ctx context.Context) error {
	if b.mesh == nil {
		b.watchClock(ctx)
		return nil
	}
	b.log.Info("joining the cluster", "node", b.id)
	// The mesh goes last, so that the others hear what becomes of events.
	lasting, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var running sync.WaitGroup
	running.Go(func() {
		defer leave()
		b.runEvents(ctx)
	})
	running.Go(func() { b.revoked.Run(ctx) })
	running.Go(func() { b.doubt.run(ctx) })
	running.Go(func() { b.watchClock(ctx) })
	if l := b.opts.Cluster.Emitters; l != nil {
		running.Go(func() { b.listenToEmitters(ctx, l) })
	}
	defer running.Wait()
	return b.mesh.Run(lasting)
}

// Isolated reports whether the broker has other nodes and can't reach them at
// the moment.
func (b *Broker) Isolated() bool { return b.mesh != nil && b.mesh.State() != cluster.Connected }

// ClusterTrouble returns what doesn't work between this node and the others, and what
// to do about it; nil if everything does, or the broker is one node. Where only a
// part doesn't work, the node is not [Broker.Isolated].
func (b *Broker) ClusterTrouble() error {
	if b.mesh == nil {
		return nil
	}
	return b.mesh.Trouble()
}

// node is the broker as other nodes speak to it.
type node Broker

// Deliver implements [cluster.Handler]: it obeys an order.
func (n *node) Deliver(d cluster.Delivery) []byte {
	var order wire.Order
	if err := proto.Unmarshal(d.Payload, &order); err != nil {
		n.log.Error("an order of another node can't be read", "node", string(d.From), "error", err)
		return nil
	}
	var count *wire.Count
	switch o := order.GetOrder().(type) {
	case *wire.Order_Events:
		(*Broker)(n).hearEvents(d.From, o.Events)
	case *wire.Order_Ask:
		count = (*Broker)(n).askFor(d.From, o.Ask)
	case *wire.Order_Answers:
		n.asks.heard(d.From, o.Answers)
	case *wire.Order_StopAsking:
		n.asks.stopped(askedBy{node: d.From, id: o.StopAsking.GetId()})
	default:
		count = (*Broker)(n).obey(&order, interestTimeout)
	}
	if !d.Reported {
		return nil
	}
	return encode(count)
}

// Answer implements [cluster.Handler]: it answers a query.
func (n *node) Answer(ctx context.Context, from cluster.NodeID, request []byte) ([]byte, error) {
	var query wire.Query
	if err := proto.Unmarshal(request, &query); err != nil {
		return nil, err
	}
	answer, err := (*Broker)(n).answerQuery(ctx, from, &query)
	if err != nil {
		return nil, err
	}
	return encode(answer), nil
}

// NodeJoined implements [cluster.Handler].
func (n *node) NodeJoined(other cluster.Node) {
	n.log.Info("node joined", "node", string(other.ID), "version", other.Version, "address", other.Address)
	(*Broker)(n).eventsOf(other.ID)
	n.revoked.NodeJoined()
}

// NodeLeft implements [cluster.Handler].
func (n *node) NodeLeft(other cluster.Node) {
	n.log.Info("node left", "node", string(other.ID), "address", other.Address)
	(*Broker)(n).eventsWithout(other, false)
	n.asks.gone(other.ID)
}

// NodeLost implements [cluster.Handler].
func (n *node) NodeLost(other cluster.Node) {
	n.log.Warn("node lost", "node", string(other.ID), "address", other.Address)
	(*Broker)(n).eventsWithout(other, true)
	n.asks.gone(other.ID)
}

// Rejoined implements [cluster.Handler].
func (n *node) Rejoined() {
	n.log.Warn("this node was taken for lost, and is back")
	(*Broker)(n).eventsAgain()
	n.revoked.Sync()
}

// encode returns a message's wire form; what nodes say always has one.
func encode(m proto.Message) []byte {
	raw, _ := proto.Marshal(m)
	return raw
}

// listen has this node hear what others send to the topics until release is
// called, and returns once that is so. While the bus is down it doesn't wait:
// the node hears of them when it is back.
func (b *Broker) listen(topics ...cluster.Topic) (release func()) {
	return b.listenWithin(interestTimeout, topics...)
}

// listenWithin is listen that waits so long at most.
func (b *Broker) listenWithin(wait time.Duration, topics ...cluster.Topic) (release func()) {
	if b.mesh == nil {
		return func() {}
	}
	effective := make([]<-chan struct{}, len(topics))
	for i, topic := range topics {
		effective[i] = b.mesh.Interest(topic)
	}
	_ = b.mesh.AwaitFor(wait, effective...) // whoever joins has joined this node all the same
	return func() {
		for _, topic := range topics {
			b.mesh.Drop(topic)
		}
	}
}

// roomTopics are the topics of rooms of a namespace.
func roomTopics(namespace string, rooms []string) []cluster.Topic {
	topics := make([]cluster.Topic, len(rooms))
	for i, room := range rooms {
		topics[i] = cluster.RoomTopic(namespace, room)
	}
	return topics
}

// topics are those that a socket is interested in beside its rooms.
func (s *socket) topics() []cluster.Topic {
	topics := []cluster.Topic{cluster.EveryoneTopic(s.ns.name)}
	if s.user != "" {
		topics = append(topics, cluster.UserTopic(s.ns.name, s.user))
	}
	return topics
}

// interested has this node hear what others send to the socket by its user or
// to everyone, until uninterested. Its rooms are the namespace's business.
func (b *Broker) interested(s *socket) {
	if b.mesh != nil {
		for _, topic := range s.topics() {
			b.mesh.Interest(topic)
		}
	}
}

func (b *Broker) uninterested(s *socket) {
	if b.mesh != nil {
		for _, topic := range s.topics() {
			b.mesh.Drop(topic)
		}
	}
}

// routeTo returns the way to the other nodes that may have sockets that t
// selects; ok is false if none can have.
func (b *Broker) routeTo(namespace string, t *room.Target) (route cluster.Route, ok bool) {
	everyone := cluster.EveryoneTopic(namespace)
	if t.All {
		return cluster.Route{Topic: everyone}, true
	}
	topics := roomTopics(namespace, t.Rooms)
	for _, user := range t.Users {
		topics = append(topics, cluster.UserTopic(namespace, user))
	}
	nodes := b.ownersOf(t.IDs)
	if len(topics)+len(nodes) == 0 {
		return cluster.Route{}, false
	}
	return cluster.RouteTo(everyone, topics, nodes), true
}

// ownersOf returns the other nodes that have the sockets. Those of nodes that
// are gone have nobody.
func (b *Broker) ownersOf(sockets []string) []cluster.NodeID {
	var nodes []cluster.NodeID
	seen := make(map[cluster.NodeID]bool)
	for _, id := range sockets {
		if owner := ownerOf(id); string(owner) != b.id && !seen[owner] {
			seen[owner] = true
			if b.mesh.Has(owner) || b.Isolated() || slices.Contains(b.mesh.Refused(), owner) {
				nodes = append(nodes, owner)
			}
		}
	}
	return nodes
}

// ownerOf returns the node that has a socket: its id begins with the node's.
func ownerOf(socket string) cluster.NodeID {
	return cluster.NodeID(socket[:min(len(socket), cluster.NodeIDBytes)])
}

// coverage says what a question to other nodes has not covered.
func (b *Broker) coverage(r cluster.Result, err error) Coverage {
	if err != nil {
		return b.nobodyElse(err)
	}
	c := Coverage{Partial: r.Partial()}
	for _, id := range r.Missing {
		c.Missing = append(c.Missing, string(id))
	}
	for _, reply := range r.Replies {
		if reply.Err != nil {
			c.Partial, c.Missing = true, append(c.Missing, string(reply.Node))
		}
	}
	return c
}

// nobodyElse is the coverage when the others could not be asked.
func (b *Broker) nobodyElse(err error) Coverage {
	if !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		b.log.Warn("the other nodes could not be asked", "error", err)
	}
	c := Coverage{Partial: true}
	for _, other := range b.mesh.Nodes()[1:] {
		c.Missing = append(c.Missing, string(other.ID))
	}
	return c
}
