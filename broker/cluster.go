package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/revocation"
)

// errUnknownOp is the error for an operation of a later release.
var errUnknownOp = errors.New("the operation is unknown; do all nodes run the same release?")

// errEnding is the error for an operation that needs a node which stays.
var errEnding = errors.New("the node is about to end")

// envelopeOverhead is more than an operation takes besides its message.
const envelopeOverhead = 1 << 20

// joinCluster creates the node's part in a cluster. Run starts it.
func (b *Broker) joinCluster(o *ClusterOptions) error {
	observer := newClusterMetrics(b)
	mesh, err := cluster.New(cluster.Options{
		Bus:              o.Bus,
		Handler:          peerHandler{b},
		ID:               cluster.NodeID(b.id),
		Name:             o.Name,
		Keys:             o.Keys,
		Now:              o.Now,
		Info:             func() cluster.Info { return b.clusterInfo(o) },
		Observer:         observer,
		Logger:           b.log,
		MaxEnvelopeBytes: int(max(8<<20, b.opts.largestMessage()+envelopeOverhead)),
	})
	if err != nil {
		return &Error{Code: CodeInvalidArgument, Reason: ReasonInvalidArgument, Message: err.Error()}
	}
	b.mesh = mesh
	b.shareRevocations()
	b.shareOutcomes()
	if err := b.forwardRequests(); err != nil {
		return err
	}
	if b.opts.Metrics != nil {
		if err := b.opts.Metrics.Register(observer); err != nil {
			return &Error{Code: CodeInternal, Reason: ReasonMetrics, Message: err.Error()}
		}
	}
	return nil
}

func (b *Broker) clusterInfo(o *ClusterOptions) cluster.Info {
	info := b.info()
	certificate := ""
	if o.Certificate != nil {
		certificate = string(o.Certificate())
	}
	return cluster.Info{
		Version:  b.opts.Version,
		Address:  o.Address,
		Sockets:  uint32(info.Sockets), //nolint:gosec // bounded by file descriptors
		Rooms:    uint32(info.Rooms),   //nolint:gosec // bounded by sockets and the rooms of each
		Draining: info.State == NodeDraining,
		Started:  b.started,

		URL:         o.URL,
		Certificate: certificate,
	}
}

// Run watches the clock, keeps the history of rooms, and takes part in the cluster,
// if there is one, until ctx ends. Then it leaves the cluster. It is called once.
func (b *Broker) Run(ctx context.Context) error {
	if h := b.opts.History; h != nil {
		var keeping sync.WaitGroup
		keeping.Go(func() { h.Engine.Run(ctx) })
		defer keeping.Wait()
	}
	var tracking sync.WaitGroup
	tracking.Go(func() { b.presence.Run(ctx) })
	tracking.Go(func() { b.measure(ctx) })
	tracking.Go(func() { b.runAdmin(ctx) })
	defer tracking.Wait()
	if b.mesh == nil {
		b.watchClock(ctx)
		return nil
	}
	b.log.Info("joining the cluster", "node", b.id)
	// The mesh ends last, so that the other nodes get the last events.
	meshCtx, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var running sync.WaitGroup
	running.Go(func() {
		defer leave()
		b.runEvents(ctx)
	})
	running.Go(func() { b.revoked.Run(ctx) })
	running.Go(func() { b.proxy.Run(ctx) })
	running.Go(func() { b.watching.Run(ctx) })
	running.Go(func() { b.watchClock(ctx) })
	if l := b.opts.Cluster.Emitters; l != nil {
		running.Go(func() { b.listenToEmitters(ctx, l) })
	}
	defer running.Wait()
	return b.mesh.Run(meshCtx)
}

// ClusterTrouble returns what doesn't work between this node and the others, and
// what to do about it. It returns nil if everything works, or if there is only one
// node. If only a part doesn't work, the node isn't [Broker.Isolated].
func (b *Broker) ClusterTrouble() error {
	if b.mesh == nil {
		return nil
	}
	return b.mesh.Health()
}

// peerHandler receives what other nodes send. It implements [cluster.Handler].
type peerHandler struct{ b *Broker }

// Deliver implements [cluster.Handler].
func (p peerHandler) Deliver(d cluster.Delivery) []byte {
	op, err := decodeOp(d.Payload)
	var reply proto.Message
	if err == nil {
		span := p.b.startApply(d.From, op)
		reply, err = p.b.apply(d.From, op, 0) // everything that arrives here waits for it
		endApply(span, reply, err)
	}
	if err != nil {
		p.b.log.Error("an operation of another node failed", "node", string(d.From), "error", err)
	} else if d.Topic == "" { // otherwise the nodes that have the sockets get it as well
		p.b.follow(d.From, op, reply, d.WantsAnswer)
	}
	switch {
	case !d.WantsAnswer:
		return nil
	case err != nil:
		return unreadable()
	}
	return encode(reply)
}

// unreadable is the reply to an operation that failed. It can't be decoded, so that the
// caller counts this node as missing.
func unreadable() []byte { return []byte{0xff} }

// Answer implements [cluster.Handler].
func (p peerHandler) Answer(ctx context.Context, from cluster.NodeID, request []byte) ([]byte, error) {
	op, err := decodeOp(request)
	if err != nil {
		return nil, err
	}
	switch o := op.GetOp().(type) { // these may have to wait
	case *wire.Op_TakeSession:
		return encode(p.b.applyTakeSession(ctx, from, o.TakeSession)), nil
	case *wire.Op_OfferSessions:
		return encode(p.b.applyOffer(ctx, from, o.OfferSessions)), nil
	}
	span := p.b.startApply(from, op)
	reply, err := p.b.apply(from, op, waitAtMost(ctx, subscribeTimeout))
	endApply(span, reply, err)
	if err != nil {
		return nil, err
	}
	return encode(reply), nil
}

func decodeOp(payload []byte) (*wire.Op, error) {
	var op wire.Op
	if err := proto.Unmarshal(payload, &op); err != nil {
		return nil, err
	}
	return &op, nil
}

// apply carries out an operation of another node and returns the reply. A join
// waits for the bus, but no longer than wait.
func (b *Broker) apply(from cluster.NodeID, op *wire.Op, wait time.Duration) (proto.Message, error) {
	switch o := op.GetOp().(type) {
	case nil:
		return nil, errUnknownOp
	case *wire.Op_RequestAcks:
		return b.applyRequestAcks(from, o.RequestAcks), nil
	case *wire.Op_Acks:
		b.ackRequests.receive(from, o.Acks)
		return &wire.Count{}, nil
	case *wire.Op_StopAcks:
		b.ackRequests.stop(remoteAckRequest{node: from, id: o.StopAcks.GetId()})
		return &wire.Count{}, nil
	case *wire.Op_Events:
		b.receiveEvents(from, o.Events)
		return &wire.Count{}, nil
	case *wire.Op_WillState:
		return b.lastWill.State(cluster.NodeID(o.WillState.GetNode()), from), nil
	case *wire.Op_Revoke:
		n, failed := b.revokeLocal(revocation.FromWire(o.Revoke))
		if failed != nil && failed.Reason != ReasonNotKept { // the shared table keeps it as well
			return nil, failed
		}
		return countOf(n), nil
	case *wire.Op_SyncRevocations:
		b.revoked.Sync()
		return &wire.Count{}, nil
	case *wire.Op_ListUsers:
		return b.localUsers(o.ListUsers), nil
	case *wire.Op_CountUsers:
		return b.countLocalUsers(o.CountUsers), nil
	case *wire.Op_FindUsers:
		return b.findLocalUsers(o.FindUsers), nil
	case *wire.Op_AskPresence:
		return b.presence.Answer(string(from), o.AskPresence), nil
	case *wire.Op_AnnouncePresence:
		return b.applyAnnouncePresence(from, o.AnnouncePresence), nil
	case *wire.Op_AdoptLeaves:
		if !b.presence.Adopt(o.AdoptLeaves) {
			return nil, errEnding
		}
		return &wire.Count{}, nil
	case *wire.Op_GetAdminStats:
		return b.adminNode.local(), nil
	case *wire.Op_FindAdminSession:
		return b.adminNode.session(o.FindAdminSession), nil
	case *wire.Op_WatchOutcomes:
		return &wire.Count{}, b.watching.Watch(from, o.WatchOutcomes)
	case *wire.Op_Outcomes:
		b.watching.Receive(from, o.Outcomes)
		return &wire.Count{}, nil
	case *wire.Op_ExplainUser:
		return b.applyExplain(o.ExplainUser), nil
	case *wire.Op_Barrier:
		return &wire.Count{}, nil
	case *wire.Op_SessionMoved:
		b.applySessionMoved(o.SessionMoved)
		return &wire.Count{}, nil
	case *wire.Op_Drain:
		b.drain()
		return &wire.Count{}, nil
	}
	if reply := b.describeLocal(op); reply != nil {
		return reply, nil
	}
	return b.applyLocal(from, op, wait), nil
}

// describeLocal answers an operation that asks what this node has. It returns nil for another one.
func (b *Broker) describeLocal(op *wire.Op) proto.Message {
	switch o := op.GetOp().(type) {
	case *wire.Op_ListRooms:
		return b.localRooms(o.ListRooms)
	case *wire.Op_ReadRoomList:
		return b.readRoomList(o.ReadRoomList)
	case *wire.Op_ListGroups:
		return b.localGroups()
	case *wire.Op_GetStats:
		return b.localStats(o.GetStats)
	case *wire.Op_ListLimits:
		return b.localLimits()
	case *wire.Op_GetRoom:
		return b.localMembers(o.GetRoom)
	case *wire.Op_ListSockets:
		if o.ListSockets.GetQuery() != "" {
			return b.findLocalSockets(o.ListSockets)
		}
		return socketsToWire(b.localSockets(o.ListSockets))
	case *wire.Op_GetSocket:
		if s, ok := b.localSocket(o.GetSocket.GetId()); ok {
			return socketsToWire([]SocketInfo{s})
		}
		return &wire.Sockets{}
	}
	return nil
}

// NodeJoined implements [cluster.Handler].
func (p peerHandler) NodeJoined(other cluster.Node) {
	p.b.log.Info("node joined", "node", string(other.ID), "version", other.Version, "address", other.Address)
	p.b.eventsNodeJoined(other.ID)
	p.b.watching.Changed()
	p.b.revoked.NodeJoined()
	p.b.tellWhichMoved(other.ID)
	p.b.proxy.Check(other)
}

// NodeLeft implements [cluster.Handler].
func (p peerHandler) NodeLeft(other cluster.Node) {
	p.b.log.Info("node left", "node", string(other.ID), "address", other.Address)
	p.b.eventsNodeGone(other, false)
	p.b.watching.Gone(other.ID)
	p.b.watching.Changed()
	p.b.ackRequests.lose(other.ID)
	p.b.movedSockets.lose(other.ID)
}

// NodeLost implements [cluster.Handler].
func (p peerHandler) NodeLost(other cluster.Node) {
	p.b.log.Warn("node lost", "node", string(other.ID), "address", other.Address)
	p.b.eventsNodeGone(other, true)
	p.b.watching.Gone(other.ID)
	p.b.watching.Changed()
	p.b.presence.NodeLost(string(other.ID))
	p.b.ackRequests.lose(other.ID)
	p.b.movedSockets.lose(other.ID)
}

// Rejoined implements [cluster.Handler].
func (p peerHandler) Rejoined() {
	p.b.log.Warn("the other nodes had taken this node for lost; it is back")
	p.b.eventsRejoined()
	p.b.tellWhichMoved("")
	p.b.revoked.Sync()
}
