package broker

import (
	"context"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// PendingAcks returns how many acks of its sockets a node waits for.
func PendingAcks(b *Broker) int64 { return b.pendingAcks.Used() }

// RequestedAcks returns how many sockets of all nodes are known to have got the
// requests for acks of this node that other nodes help with.
func RequestedAcks(b *Broker) (n int) {
	b.ackRequests.mu.Lock()
	defer b.ackRequests.mu.Unlock()
	for _, r := range b.ackRequests.local {
		r.mu.Lock()
		n += r.summary.Expected
		for _, p := range r.nodes {
			n += p.summary.Expected
		}
		r.mu.Unlock()
	}
	return n
}

// SetAttachmentTime replaces how long attachments may take. Nobody may be connected.
func (b *Broker) SetAttachmentTime(d time.Duration) { b.attachmentTime = d }

// ApplyJoin carries out a join of the sockets of a user as if another node had called it, here alone.
// It reports whether the counts may lack a socket.
func ApplyJoin(b *Broker, user, room string) (partial bool) {
	join := &wire.JoinRooms{Target: &wire.Target{Namespace: "/", Users: []string{user}}, Rooms: []string{room}}
	return b.applyLocal(cluster.NodeID("caller"), &wire.Op{Op: &wire.Op_Join{Join: join}}, 0).GetPartial()
}

// WantsEvents reports whether a backend wants events of a kind, as far as this node knows.
func (b *Broker) WantsEvents(kind eventhub.Kind, namespace string) bool {
	return b.events.Wants(kind, namespace, "")
}

// BeginSending is what a node does from when a message has gone to other nodes until it has reached
// the sockets of the node.
func BeginSending(b *Broker) (end func()) { return b.sending.Begin().End }

// HandOver has a node hand a socket of "/" over whose client is away, to no other node. It reports
// whether the node has done so.
func HandOver(ctx context.Context, b *Broker, socket string) bool {
	s, _ := b.namespaces["/"].index.Get(socket)
	t := &wire.TakeSession{Key: s.key(), Rooms: s.ns.index.RoomsOf(s), Returns: s.session.returns}
	return b.applyTakeSession(ctx, cluster.NodeID("other"), t).GetSession() != nil
}

// WatchEnd returns a function that looks at a socket of "/" with a session, as whoever holds the
// session's lock sees it: has it ended, and can its client still return? It holds the lock for so
// long that a mutex goes to whoever has waited longest. So whoever takes it twice lets others look
// in between.
func WatchEnd(b *Broker, socket string) (look func() (gone, over bool)) {
	s, _ := b.namespaces["/"].index.Get(socket)
	return func() (gone, over bool) {
		s.session.mu.Lock()
		defer s.session.mu.Unlock()
		<-time.After(2 * time.Millisecond)
		return s.gone.Load(), s.session.over
	}
}

// WithoutTraces returns a function that does what emits, operations of other nodes and events do about
// traces, in a broker without a tracer.
func WithoutTraces() func() {
	b := &Broker{}
	ctx, m, op := context.Background(), &Message{}, &wire.Op{TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	t, report, e := &Target{}, &Report{}, &eventhub.Event{}
	return func() {
		ctx, span := b.startEmit(ctx, spanEmit, m)
		b.endEmit(span, t, m, report, nil)
		b.endAcks(span, t, m, &AckSummary{}, nil)
		_ = b.opts.Tracer.SampledParent(ctx)
		endApply(b.startApply("other", op), nil, nil)
		endAnswered(b.startEvent(e), nil)
	}
}

// NodeID returns the id of a node.
func NodeID(b *Broker) string { return b.id }
