package broker

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
)

// Other nodes carry out an operation in one of two ways. It is published to those
// that may have a socket of its target, and carried out in order with everything
// published to them before. Or it is a call to all of them or to one, which each
// carries out in a goroutine of its own, so that it may take longer.

// How long to wait for other nodes.
const (
	// reportTimeout is for reports on messages, which are worth little later.
	reportTimeout = 250 * time.Millisecond
	// callTimeout is for lists, and for operations that change something.
	callTimeout = 2 * time.Second
	// leastReserve is the least time that a caller with a deadline gets back, so
	// that a partial result still reaches it.
	leastReserve = 20 * time.Millisecond
)

// waitAtMost returns how long to wait for other nodes: at most the given time,
// and not up to the caller's deadline. A tenth of the time that is left, or
// [leastReserve] if that is more, is kept for returning the result. Otherwise a
// node that is dead and not noticed yet would turn a partial result into
// DEADLINE_EXCEEDED.
func waitAtMost(ctx context.Context, most time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return most
	}
	left := time.Until(deadline)
	reserve := min(max(left/10, leastReserve), left/2)
	return min(most, left-reserve)
}

// destination is a set of other nodes that carry out an operation.
type destination struct {
	route cluster.Route
	all   bool   // all nodes, by a call, instead of those of route
	none  bool   // there are no such nodes
	left  uint64 // how often sockets had left this node
}

// everyNode is the destination of an operation that concerns all other nodes, or
// that may have to wait at each.
func everyNode() destination { return destination{all: true} }

// nodesOf returns the other nodes that may have sockets that t selects.
func (b *Broker) nodesOf(t *Target) destination {
	if b.mesh == nil {
		return destination{none: true}
	}
	everyone := cluster.EveryoneTopic(t.Namespace)
	if t.Everyone {
		return destination{route: cluster.Route{Topic: everyone}}
	}
	topics := roomTopics(t.Namespace, t.Rooms)
	for _, user := range t.Users {
		topics = append(topics, cluster.UserTopic(t.Namespace, user))
	}
	var left uint64
	if len(t.Sockets) > 0 {
		left = b.movedSockets.count()
	}
	nodes, unknown := b.ownersOf(t.Namespace, t.Sockets)
	if unknown {
		return destination{route: cluster.Route{Topic: everyone}}
	}
	if len(topics)+len(nodes) == 0 {
		return destination{none: true, left: left}
	}
	return destination{route: cluster.RouteTo(everyone, topics, nodes), left: left}
}

// extend adds the nodes to a destination that have got sockets of this node since it
// was determined. It is called once an operation on these sockets is carried out here,
// which may not have found them.
func (b *Broker) extend(to destination, sockets []string) destination {
	if to.all || to.route.Topic != "" {
		return to
	}
	for _, moved := range b.movedSockets.among(sockets, to.left) {
		to.none = false
		if node := cluster.NodeID(moved.GetNode()); !slices.Contains(to.route.Nodes, node) {
			to.route.Nodes = append(slices.Clip(to.route.Nodes), node)
		}
	}
	return to
}

// ownersOf returns the other nodes that have sockets of a namespace, or know which node
// has them. unknown says that any node may have one, because the node that its id names
// is gone, or drains and may be gone before the operation is there.
func (b *Broker) ownersOf(namespace string, sockets []string) (nodes []cluster.NodeID, unknown bool) {
	seen := make(map[cluster.NodeID]bool)
	for _, id := range sockets {
		owner := cluster.OwnerOf(id)
		if string(owner) == b.id {
			owner = b.movedSockets.get(id)
		}
		if owner == "" || seen[owner] || b.hasSocket(namespace, id) {
			continue
		}
		seen[owner] = true
		node, there := b.mesh.Node(owner)
		if there || b.Isolated() || slices.Contains(b.mesh.ClockSkewed(), owner) {
			nodes = append(nodes, owner)
		}
		unknown = unknown || b.recovery != nil && (node.Draining || !slices.Contains(nodes, owner))
	}
	return nodes, unknown
}

// hasSocket reports whether this node has a socket.
func (b *Broker) hasSocket(namespace, id string) bool {
	ns, ok := b.namespaces[namespace]
	if !ok {
		return false
	}
	s, ok := ns.index.Get(id)
	return ok && !s.isShadow()
}

// targetOf returns the target of an operation that may name sockets; nil for others.
func targetOf(op *wire.Op) *wire.Target {
	switch o := op.GetOp().(type) {
	case *wire.Op_Emit:
		return o.Emit.GetTarget()
	case *wire.Op_Join:
		return o.Join.GetTarget()
	case *wire.Op_Leave:
		return o.Leave.GetTarget()
	case *wire.Op_Disconnect:
		return o.Disconnect.GetTarget()
	case *wire.Op_Update:
		return o.Update.GetTarget()
	case *wire.Op_RequestAcks:
		return o.RequestAcks.GetEmit().GetTarget()
	}
	return nil
}

// restrict returns a copy of an operation for those sockets of its target that have
// moved, and the nodes that have them.
func restrict(op *wire.Op, moved []*wire.SessionMoved) (*wire.Op, destination) {
	copied := proto.CloneOf(op)
	t := targetOf(copied)
	t.Rooms, t.Users, t.Sockets = nil, nil, nil
	var nodes []cluster.NodeID
	for _, m := range moved {
		t.Sockets = append(t.Sockets, m.GetSocket())
		if node := cluster.NodeID(m.GetNode()); !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	if e := copied.GetEmit().GetEvent(); e.GetPart() != 0 {
		e.Part = partOf(t.Sockets)
	}
	return copied, destination{route: cluster.Route{Nodes: nodes}}
}

// partOf returns the part of a message that is for some of its sockets.
func partOf(sockets []string) uint64 {
	h := fnv.New64a()
	for _, id := range slices.Sorted(slices.Values(sockets)) {
		_, _ = h.Write([]byte(id)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return max(h.Sum64(), partWhole+1)
}

// maxHops bounds how often nodes pass an operation on.
const maxHops = 8

// movedFrom returns those sockets of a target that have moved to other nodes. A shadow
// counts as moved, because it may never become the socket. It keeps each message once.
func (b *Broker) movedFrom(t *wire.Target) []*wire.SessionMoved {
	return slices.DeleteFunc(b.movedSockets.among(t.GetSockets(), 0), func(m *wire.SessionMoved) bool {
		return b.hasSocket(t.GetNamespace(), m.GetSocket())
	})
}

// follow is called with an operation of another node that was sent to this node alone,
// and with the reply. If sockets of its target have moved, the caller is told where to
// or, if it doesn't wait, the operation is passed on.
func (b *Broker) follow(from cluster.NodeID, op *wire.Op, reply proto.Message, waits bool) {
	moved := b.movedFrom(targetOf(op))
	if len(moved) == 0 {
		return
	}
	if c, ok := reply.(*wire.Count); ok && waits {
		c.Moved = moved
		return
	}
	if op.GetHops() >= maxHops {
		b.log.Warn("an operation doesn't find a socket that has moved", "sockets", len(moved))
		return
	}
	op, to := restrict(op, moved)
	op.Hops++
	if e := op.GetEmit().GetEvent(); e != nil && e.GetOrigin() == "" {
		e.Origin = string(from)
	}
	if err := b.tell(to, op); err != nil {
		b.log.Debug("an operation doesn't reach a socket that has moved", "error", err) // the mesh counts it
	}
}

// tell has other nodes carry out an operation, and doesn't wait for the result.
// The mesh counts what is lost.
func (b *Broker) tell(to destination, op *wire.Op) error {
	if to.none {
		return nil
	}
	return b.mesh.Publish(to.route, encode(op))
}

// callOthers has other nodes carry out an operation and waits for their replies,
// for at most the timeout. Without a cluster there are none. The partial result
// names the nodes whose reply is missing.
func (b *Broker) callOthers(ctx context.Context, to destination, timeout time.Duration, op *wire.Op) (cluster.Result, PartialResult) {
	return b.callOthersThen(ctx, to, timeout, op, func() {})
}

// callOthersThen is callOthers, and calls then once the operation is on its way, for what
// this node does itself. If it looked for its own sockets first, one could come to it
// from another node right after that, and leave that node before the operation is there.
// One that leaves this node in between waits for then; see applyTakeSession.
func (b *Broker) callOthersThen(ctx context.Context, to destination, timeout time.Duration, op *wire.Op, then func()) (cluster.Result, PartialResult) {
	if b.mesh == nil || to.none {
		then()
		return cluster.Result{}, PartialResult{}
	}
	ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, timeout))
	defer cancel()
	op.TraceParent = cmp.Or(op.GetTraceParent(), b.opts.Tracer.SampledParent(ctx))
	var r cluster.Result
	var err error
	switch {
	case !to.all:
		here := b.sending.Begin()
		r, err = b.mesh.PublishThen(ctx, to.route, encode(op), func() {
			defer here.End()
			then()
		})
	case b.knowsNodes(ctx):
		then()
		r, err = b.mesh.CallAll(ctx, encode(op))
	default:
		then()
		err = cluster.ErrUnavailable
	}
	if err != nil {
		r.Unnamed++ // nobody knows which nodes didn't get it
		return r, b.allMissing(err)
	}
	partial := PartialResult{Partial: r.Partial()}
	for _, id := range r.Missing {
		partial.miss(string(id))
	}
	for _, reply := range r.Replies {
		if reply.Err != nil {
			partial.miss(string(reply.Node))
		}
	}
	return r, partial
}

// allMissing is the partial result when the other nodes could not be reached.
func (b *Broker) allMissing(err error) PartialResult {
	if !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		b.log.Warn("the other nodes can't be reached", "error", err)
	}
	partial := PartialResult{Partial: true}
	for _, other := range b.mesh.Nodes()[1:] {
		partial.miss(string(other.ID))
	}
	return partial
}

// decode returns the replies of nodes, as far as they could carry out the
// operation. A reply that can't be read is missing from the result.
func decode[T any, M interface {
	*T
	proto.Message
}](r cluster.Result, partial *PartialResult) (replies []M) {
	for _, reply := range r.Replies {
		if reply.Err != nil {
			continue // callOthers has added it
		}
		m := M(new(T))
		if err := proto.Unmarshal(reply.Payload, m); err != nil {
			partial.miss(string(reply.Node))
			continue
		}
		replies = append(replies, m)
	}
	return replies
}

// callAll has all other nodes carry out an operation and decodes their replies.
// The partial result names the nodes whose reply is missing.
func callAll[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, b *Broker, op *wire.Op) (replies []M, partial PartialResult) {
	r, partial := b.callOthers(ctx, everyNode(), callTimeout, op)
	replies = decode[T, M](r, &partial)
	return replies, partial
}

// callNode has one other node carry out an operation and decodes its reply into
// into, unless that is nil. The error is a *[Error]: notFound if there is no such
// node, otherwise why it doesn't reply.
func (b *Broker) callNode(ctx context.Context, node cluster.NodeID, op *wire.Op, into proto.Message, notFound *Error) error {
	unavailable := &Error{Code: CodeUnavailable, Reason: ReasonNodeUnavailable, Message: "the node " + string(node) + " doesn't answer; try again in a moment"}
	ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, callTimeout))
	defer cancel()
	if !b.knowsNodes(ctx) {
		unavailable.Message = "this node can't reach the others at the moment; try again later"
		return unavailable
	}
	if !b.mesh.HasNode(node) {
		if !slices.Contains(b.mesh.ClockSkewed(), node) {
			return notFound
		}
		unavailable.Message = "the clocks of the node " + string(node) + " and of this one differ too much for them to communicate; set the clocks"
		return unavailable
	}
	op.TraceParent = b.opts.Tracer.SampledParent(ctx)
	r, err := b.mesh.Call(ctx, []cluster.NodeID{node}, encode(op))
	if err != nil || len(r.Replies) == 0 || r.Replies[0].Err != nil {
		return unavailable
	}
	if into == nil {
		return nil
	}
	if err := proto.Unmarshal(r.Replies[0].Payload, into); err != nil {
		return &Error{Code: CodeInternal, Reason: ReasonNodesDiffer, Message: "the answer of the node " + string(node) + " can't be read; do all nodes run the same release?"}
	}
	return nil
}

// otherNodes returns the other nodes, to be asked one by one. The partial result names those
// that can't be asked.
func (b *Broker) otherNodes(ctx context.Context) (nodes []cluster.NodeID, partial PartialResult) {
	if b.mesh == nil {
		return nil, PartialResult{}
	}
	ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, callTimeout))
	defer cancel()
	if !b.knowsNodes(ctx) {
		return nil, b.allMissing(cluster.ErrUnavailable)
	}
	for _, id := range b.mesh.ClockSkewed() {
		partial.miss(string(id))
	}
	return b.knownNodes(), partial
}

// knownNodes returns the other nodes of the cluster, as far as this one knows them.
func (b *Broker) knownNodes() (others []cluster.NodeID) {
	for _, n := range b.mesh.Nodes()[1:] {
		others = append(others, n.ID)
	}
	return others
}

// knowsNodes reports whether this node knows which others there are. It waits for
// that if the node has just reached the cluster, but not if it can't reach it.
func (b *Broker) knowsNodes(ctx context.Context) bool {
	if b.Isolated() {
		return false
	}
	select {
	case <-b.mesh.Ready():
		return true
	case <-ctx.Done():
		return false
	}
}

// Isolated reports whether the broker has other nodes and can't reach them at
// the moment.
func (b *Broker) Isolated() bool { return b.mesh != nil && b.mesh.State() != cluster.Connected }

// encode returns the wire form of a message. Messages between nodes always have
// one.
func encode(m proto.Message) []byte {
	raw, _ := proto.Marshal(m)
	return raw
}

func targetToWire(t *Target) *wire.Target {
	return &wire.Target{
		Namespace:     t.Namespace,
		Everyone:      t.Everyone,
		Rooms:         t.Rooms,
		Users:         t.Users,
		Sockets:       t.Sockets,
		ExceptRooms:   t.ExceptRooms,
		ExceptUsers:   t.ExceptUsers,
		ExceptSockets: t.ExceptSockets,
	}
}

func targetFromWire(t *wire.Target) Target {
	return Target{
		Namespace:     t.GetNamespace(),
		Everyone:      t.GetEveryone(),
		Rooms:         t.GetRooms(),
		Users:         t.GetUsers(),
		Sockets:       t.GetSockets(),
		ExceptRooms:   t.GetExceptRooms(),
		ExceptUsers:   t.GetExceptUsers(),
		ExceptSockets: t.GetExceptSockets(),
	}
}

func messageToWire(m *Message) *wire.Event {
	e := &wire.Event{
		Name: m.Event, Args: m.Args, Attachments: m.Attachments, Volatile: m.Volatile,
		Number: m.identity.number, Part: m.part, Conflation: conflationToWire(m.conflation),
	}
	if m.part != 0 { // another node may have given it the number
		e.Origin = m.identity.node
	}
	return e
}

// messageFromWire returns a message that was sent at a node, maybe this one.
func messageFromWire(from cluster.NodeID, e *wire.Event) *Message {
	return &Message{
		Event: e.GetName(), Args: e.GetArgs(), Attachments: e.GetAttachments(), Volatile: e.GetVolatile(),
		identity:   identity{cmp.Or(e.GetOrigin(), string(from)), e.GetNumber()},
		conflation: conflationFromWire(e.GetConflation()),
		part:       e.GetPart(),
	}
}

func conflationToWire(k engineio.ConflationKey) []byte {
	if k == (engineio.ConflationKey{}) {
		return nil
	}
	return k[:]
}

func conflationFromWire(raw []byte) (k engineio.ConflationKey) {
	if len(raw) == len(k) {
		copy(k[:], raw)
	}
	return k
}
