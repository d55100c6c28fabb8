package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// A request for acks goes to other nodes as an operation. Each sends the message
// to its own sockets and replies at once how many these are. Then it sends their
// acks as they come and, at the end, counts the sockets that haven't sent one.
// The node that was called adds all of that up.

const (
	// summaryGrace is how much longer than sockets other nodes may take.
	summaryGrace = time.Second
	// acksBytes is about how many bytes of acks go into one message.
	acksBytes = 1 << 20
)

// ackRequests are the requests that concern several nodes.
type ackRequests struct {
	mu     sync.Mutex
	local  map[uint64]*ackRequest             // requests of this node that others help with
	remote map[remoteAckRequest]chan struct{} // requests of other nodes; closed to stop one
	closed bool

	helping sync.WaitGroup // one for each of remote
}

// remoteAckRequest identifies a request of another node.
type remoteAckRequest struct {
	node cluster.NodeID
	id   uint64
}

func newAckRequests() *ackRequests {
	return &ackRequests{local: make(map[uint64]*ackRequest), remote: make(map[remoteAckRequest]chan struct{})}
}

// otherNodesAcks is a request that other nodes have been sent.
type otherNodesAcks struct {
	b       *Broker
	r       *ackRequest
	partial PartialResult // of the operation
	unnamed bool          // it isn't known which nodes haven't got it
}

// requestFromOthers has the other nodes request acks from their sockets that t
// selects. It returns when they have replied how many those are; nil if there are
// no such nodes.
func (b *Broker) requestFromOthers(ctx context.Context, r *ackRequest, t *Target, m *Message, o AckOptions) *otherNodesAcks {
	to := b.nodesOf(t)
	if to.none {
		return nil
	}
	b.ackRequests.mu.Lock()
	b.ackRequests.local[r.id] = r
	b.ackRequests.mu.Unlock()
	others := &otherNodesAcks{b: b, r: r}
	op := &wire.Op{Op: &wire.Op_RequestAcks{RequestAcks: &wire.RequestAcks{
		Id:        r.id,
		Emit:      &wire.Emit{Target: targetToWire(t), Event: messageToWire(m)},
		TimeoutMs: uint32(max(o.Timeout.Milliseconds(), 1)), //nolint:gosec // at most maxAckTimeout
		Owner:     o.Owner,
	}}}
	moved := others.request(ctx, to, min(reportTimeout, o.Timeout), op)
	if len(moved) > 0 {
		again, to := restrict(op, moved)
		others.request(ctx, to, min(reportTimeout, o.Timeout), again)
	}
	return others
}

// request sends the request to nodes and takes their replies. It returns the sockets
// that other nodes have now.
func (o *otherNodesAcks) request(ctx context.Context, to destination, timeout time.Duration, op *wire.Op) (moved []*wire.SessionMoved) {
	result, partial := o.b.callOthers(ctx, to, timeout, op)
	for _, reply := range result.Replies {
		one := cluster.Result{Replies: []cluster.Reply{reply}}
		for _, c := range decode[wire.Count](one, &partial) {
			o.r.nodeStarted(reply.Node, c)
			moved = append(moved, c.GetMoved()...)
		}
	}
	o.partial.Partial = o.partial.Partial || partial.Partial
	o.partial.miss(partial.Missing...)
	o.unnamed = o.unnamed || result.Unnamed > 0
	return moved
}

// end adds what became of the other nodes' sockets to the summary. late says that
// they have had all of their time. Otherwise those that still ask can stop,
// because there are enough acks or the caller has gone.
func (o *otherNodesAcks) end(late bool, summary *AckSummary) {
	o.b.ackRequests.mu.Lock()
	delete(o.b.ackRequests.local, o.r.id)
	o.b.ackRequests.mu.Unlock()
	complete, asking := o.r.endNodes(late, summary)
	for _, id := range o.partial.Missing {
		node := cluster.NodeID(id)
		if _, heard := complete[node]; !heard {
			complete[node] = false
			asking = append(asking, node)
		}
	}
	summary.Partial = o.unnamed
	for node, ok := range complete {
		if !ok {
			summary.miss(string(node))
		}
	}
	slices.Sort(summary.Missing)
	if len(asking) > 0 {
		stop := &wire.Op{Op: &wire.Op_StopAcks{StopAcks: &wire.StopAcks{Id: o.r.id}}}
		// A node that doesn't get it stops by its own clock.
		_ = o.b.tell(destination{route: cluster.Route{Nodes: asking}}, stop)
	}
}

// receive passes acks of another node on to their request, unless it has ended.
func (a *ackRequests) receive(from cluster.NodeID, m *wire.Acks) {
	a.mu.Lock()
	r := a.local[m.GetId()]
	a.mu.Unlock()
	if r != nil {
		r.receiveFrom(from, m)
	}
}

// lose notes that a node is gone: it sends no more acks, and nobody there waits
// for any.
func (a *ackRequests) lose(node cluster.NodeID) {
	a.mu.Lock()
	local := make([]*ackRequest, 0, len(a.local))
	for _, r := range a.local {
		local = append(local, r)
	}
	for key := range a.remote {
		if key.node == node {
			a.stopLocked(key)
		}
	}
	a.mu.Unlock()
	for _, r := range local {
		r.lose(node)
	}
}

// begin registers a request of another node. finish must be called in the end. ok
// is false if this node has stopped, or has the request already.
func (a *ackRequests) begin(key remoteAckRequest) (stop <-chan struct{}, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, again := a.remote[key]; again || a.closed {
		return nil, false
	}
	ch := make(chan struct{})
	a.remote[key] = ch
	a.helping.Add(1)
	return ch, true
}

func (a *ackRequests) finish(key remoteAckRequest) {
	a.mu.Lock()
	delete(a.remote, key)
	a.mu.Unlock()
	a.helping.Done()
}

// stop ends a request of another node that doesn't wait any longer.
func (a *ackRequests) stop(key remoteAckRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopLocked(key)
}

// stopLocked is stop. a.mu is held.
func (a *ackRequests) stopLocked(key remoteAckRequest) {
	if ch, ok := a.remote[key]; ok {
		close(ch)
		delete(a.remote, key)
	}
}

// close begins no more requests of other nodes and waits for those that have
// begun. It is called when there are no sockets left, so that there is nothing to
// wait for.
func (a *ackRequests) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.helping.Wait()
}

// applyRequestAcks requests acks from the sockets of this node for another one.
func (b *Broker) applyRequestAcks(from cluster.NodeID, o *wire.RequestAcks) *wire.Count {
	ns, sockets := b.selectLocal(o.GetEmit().GetTarget())
	if len(sockets) == 0 {
		return &wire.Count{}
	}
	count := countOf(len(sockets))
	refused := &wire.Count{Matched: count.GetMatched(), Refused: count.GetMatched()}
	key := remoteAckRequest{node: from, id: o.GetId()}
	stop, ok := b.ackRequests.begin(key)
	if !ok {
		return refused
	}
	room := b.pendingAcks.Take(o.GetOwner(), int64(len(sockets)))
	if !room {
		b.ackRequests.finish(key)
		return refused
	}
	r := b.newAckRequest(o.GetOwner(), len(sockets), 0)
	b.sendAckRequest(r, ns, sockets, messageFromWire(from, o.GetEmit().GetEvent()))
	go func() {
		defer b.ackRequests.finish(key)
		defer b.pendingAcks.Give(o.GetOwner(), int64(len(sockets)))
		defer r.discard()
		b.forwardAcks(key, r, sockets, time.Duration(o.GetTimeoutMs())*time.Millisecond, stop)
	}()
	return count
}

// forwardAcks sends acks to the node that requested them, until there are no more
// to come or it is stopped.
func (b *Broker) forwardAcks(key remoteAckRequest, r *ackRequest, sockets []*socket, timeout time.Duration, stop <-chan struct{}) {
	forget := func(why ackOutcome) {
		for _, s := range sockets {
			s.forgetAck(r, why)
		}
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for !r.done() {
		acks := r.take()
		b.sendAcks(key, len(sockets), acks, nil)
		r.taken(acks...)
		select {
		case <-r.wake:
		case <-timer.C:
			forget(timedOut)
		case <-stop:
			forget(nil)
			b.metrics.acked(r.localSummary())
			return
		}
	}
	acks := r.take()
	summary := r.localSummary()
	b.metrics.acked(summary)
	b.sendAcks(key, len(sockets), acks, &wire.Unacked{
		TimedOut:     uint32(summary.TimedOut),     //nolint:gosec // bounded by file descriptors
		Disconnected: uint32(summary.Disconnected), //nolint:gosec // bounded by file descriptors
		Dropped:      uint32(summary.Dropped),      //nolint:gosec // bounded by file descriptors
	})
}

// sendAcks sends acks to the node that waits for them, in as few messages as their
// size allows. Acks that can't be sent count as missing there.
func (b *Broker) sendAcks(key remoteAckRequest, expected int, acks []Ack, rest *wire.Unacked) {
	to := destination{route: cluster.Route{Nodes: []cluster.NodeID{key.node}}}
	for len(acks) > 0 || rest != nil {
		m := &wire.Acks{Id: key.id, Expected: uint32(expected)} //nolint:gosec // bounded by file descriptors
		for size := 0; len(acks) > 0 && (size == 0 || size+acks[0].bytes() <= acksBytes); acks = acks[1:] {
			size += acks[0].bytes() + 1
			m.Acks = append(m.Acks, ackToWire(&acks[0]))
		}
		if len(acks) == 0 {
			m.Rest, rest = rest, nil
		}
		if err := b.tell(to, &wire.Op{Op: &wire.Op_Acks{Acks: m}}); err != nil {
			b.log.Debug("another node misses acks", "node", string(key.node), "error", err)
			return
		}
	}
}
