package broker

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/revocation"
)

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

// envelopeOverhead is more than an order takes beside its message.
const envelopeOverhead = 1 << 20

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
	return b.mesh.Health()
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
	if !d.WantsAnswer {
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

// answerQuery answers what another node asks.
func (b *Broker) answerQuery(ctx context.Context, from cluster.NodeID, q *wire.Query) (proto.Message, error) {
	switch q := q.GetQuery().(type) {
	case *wire.Query_ListRooms:
		return &wire.Rooms{Rooms: b.roomsHere(q.ListRooms)}, nil
	case *wire.Query_GetRoom:
		return b.membersHere(q.GetRoom), nil
	case *wire.Query_ListSockets:
		return socketsTo(b.socketsHere(q.ListSockets)), nil
	case *wire.Query_GetSocket:
		if s, ok := b.socketHere(q.GetSocket.GetId()); ok {
			return socketsTo([]SocketInfo{s}), nil
		}
		return &wire.Sockets{}, nil
	case *wire.Query_Order:
		return b.obey(q.Order, waitAtMost(ctx, interestTimeout)), nil
	case *wire.Query_Revoke:
		n, failed := b.revokeHere(revocationFrom(revocation.FromWire(q.Revoke)))
		if failed != nil && failed.Reason != ReasonNotKept {
			return nil, failed
		}
		return matched(n), nil // the table keeps it, too
	case *wire.Query_LookAtRevoked:
		b.revoked.Sync()
		return &wire.Count{}, nil
	case *wire.Query_Drain:
		b.drain()
		return &wire.Count{}, nil
	case *wire.Query_WillState:
		return b.lastWill.State(cluster.NodeID(q.WillState.GetNode()), from), nil
	}
	return &wire.Count{}, nil // of a release that knows more than this one
}
