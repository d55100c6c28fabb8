package broker

import (
	"context"
	"math/rand/v2"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/idempotency"
)

// Emit sends a message to the sockets that t selects. It may be called
// concurrently; what one goroutine emits arrives at a socket in the order of
// its calls. The exception is an unreported message that names a socket which has
// moved to another node: it takes a detour, and a message to a room of the socket may
// overtake it. Nothing is sent if it returns an error, which is a *[Error].
//
// With an idempotency key it sends a message once, however often it is called, at
// whichever node; see [Message].
func (b *Broker) Emit(ctx context.Context, t Target, m Message) (Report, error) {
	m.received = b.metrics.latency.receive()
	ctx, span := b.startEmit(ctx, spanEmit, &m)
	report, err := b.checkAndEmit(ctx, t, m)
	b.endEmit(span, &t, &m, &report, err)
	return report, err
}

// checkAndEmit is Emit.
func (b *Broker) checkAndEmit(ctx context.Context, t Target, m Message) (Report, error) {
	ns, err := b.checkEmit(&t, &m, nil)
	var report Report
	switch {
	case err != nil:
	case m.IdempotencyKey != "":
		report, err = b.emitOnce(ctx, ns, t, m)
	default:
		report = b.emitChecked(ctx, ns, t, m)
	}
	b.noteEmit(&t, &m, &report, err)
	return report, err
}

// emitChecked is Emit for a message that is valid.
func (b *Broker) emitChecked(ctx context.Context, ns *namespace, t Target, m Message) Report {
	to := b.nodesOf(&t)
	if b.prepareRecord(&t, &m) {
		return b.emitRecorded(ctx, ns, to, t, m)
	}
	if to.route.Topic != "" {
		return b.emitFirst(ctx, ns, to, t, m)
	}
	if !to.none {
		b.identify(&m)
	}
	report := b.deliver(ns, ns.index.Select(nil, t), &m)
	to = b.extend(to, t.Sockets)
	if to.none {
		return report
	}
	b.identify(&m)
	if !m.Unreported {
		b.addOthers(ctx, &report, to, &t, &m, func() {})
		return report
	}
	if err := b.tell(to, emitOp(&t, &m)); err != nil {
		report.PartialResult = b.allMissing(err)
	}
	return report
}

// emitFirst sends a message to other nodes, and only then looks for the sockets of this
// one; see callOthersThen.
func (b *Broker) emitFirst(ctx context.Context, ns *namespace, to destination, t Target, m Message) (report Report) {
	b.identify(&m)
	deliver := func() { report = b.deliver(ns, ns.index.Select(nil, t), &m) }
	if !m.Unreported {
		b.addOthers(ctx, &report, to, &t, &m, deliver)
		return report
	}
	defer b.sending.Begin().End()
	err := b.tell(to, emitOp(&t, &m))
	deliver()
	if err != nil {
		report.PartialResult = b.allMissing(err)
	}
	return report
}

// addOthers has other nodes send a message, calls then meanwhile, and adds their counts
// to the report, which may be then's.
func (b *Broker) addOthers(ctx context.Context, report *Report, to destination, t *Target, m *Message, then func()) {
	counts, partial := b.countOthers(ctx, to, reportTimeout, emitOp(t, m), then)
	for _, c := range counts {
		report.add(c)
	}
	report.countDropped()
	partial.Partial = partial.Partial || report.Partial
	report.PartialResult = partial
}

// checkEmit checks a message and its target and returns the namespace, whose name it
// sets in t. v has what else is wrong with the call. Messages are refused while
// memory is short.
func (b *Broker) checkEmit(t *Target, m *Message, v violations) (*namespace, error) {
	validateTarget(&v, t)
	m.validate(&v, b.messageLimits)
	validateConflation(&v, t, m)
	if err := v.err(); err != nil {
		return nil, err
	}
	ns, err := b.namespace(t.Namespace)
	if err != nil {
		return nil, err
	}
	if err := b.checkLoad(); err != nil {
		return nil, err
	}
	t.Namespace = ns.name
	m.conflate(t, "")
	return ns, nil
}

// emit sends a message of a client, or of the broker itself, to the sockets of
// all nodes. It reports on those of this node alone, and whether other nodes get it.
func (b *Broker) emit(ns *namespace, t *Target, m *Message) (report Report, otherNodes bool) {
	to := b.nodesOf(t)
	if b.prepareRecord(t, m) {
		return b.relayRecorded(ns, to, t, m), !to.none
	}
	if to.route.Topic != "" { // first; see callOthersThen
		defer b.sending.Begin().End()
		b.tellOthers(to, t, m)
		return b.deliver(ns, ns.index.Select(nil, *t), m), true
	}
	if !to.none {
		b.identify(m)
	}
	report = b.deliver(ns, ns.index.Select(nil, *t), m)
	if to = b.extend(to, t.Sockets); !to.none {
		b.tellOthers(to, t, m)
	}
	return report, !to.none
}

// tellOthers has other nodes send a message that nobody waits for.
func (b *Broker) tellOthers(to destination, t *Target, m *Message) {
	b.identify(m)
	if err := b.tell(to, emitOp(t, m)); err != nil {
		b.log.Debug("other nodes miss a message", "error", err) // the mesh counts it
	}
}

// deliver sends a valid message to sockets of this node. A message with a key, or a part
// of one, that was delivered before isn't sent again.
func (b *Broker) deliver(ns *namespace, to []*socket, m *Message) (report Report) {
	if m.part == 0 {
		return b.queue(ns, to, m)
	}
	first := false
	was := b.deliveries.Once(idempotency.ID{Node: m.identity.node, Number: m.identity.number}, m.part, func() delivered {
		first, report = true, b.queue(ns, to, m)
		return delivered{report.Matched, report.Queued, report.Kept}
	})
	if !first {
		report = Report{Matched: was.matched, Queued: was.queued, Kept: was.kept}
		report.countDropped()
	}
	return report
}

// queue queues a message to sockets of this node.
func (b *Broker) queue(ns *namespace, to []*socket, m *Message) Report {
	report := Report{Matched: len(to)}
	o := outgoing{b: b, namespace: ns.name, m: m}
	timed := -1
	if m.received.Measured() {
		timed = anyOf(len(to))
		defer b.metrics.latency.emitted(m.received, m.traceID)
	}
	defer o.batch.Flush()
	for i, s := range to {
		o.timed = i == timed
		switch s.send(&o) {
		case queued:
			report.Queued++
		case kept:
			report.Kept++
		case uncounted:
			report.Matched--
		case moving:
			report.Matched--
			report.Partial = true
		}
	}
	o.done()
	report.countDropped()
	b.metrics.emitted(report)
	return report
}

// anyOf returns the index of one of n sockets, or -1 if there are none.
func anyOf(n int) int {
	if n == 0 {
		return -1
	}
	return rand.IntN(n) //nolint:gosec // a sample needs no secret
}

func emitOp(t *Target, m *Message) *wire.Op {
	return &wire.Op{
		Op:          &wire.Op_Emit{Emit: &wire.Emit{Target: targetToWire(t), Event: messageToWire(m), Positions: positionsToWire(m.record)}},
		TraceParent: m.traceParent,
	}
}

// applyEmit delivers a message of another node. While memory is short, it drops
// the message.
func (b *Broker) applyEmit(from cluster.NodeID, o *wire.Emit) *wire.Count {
	m := messageFromWire(from, o.GetEvent())
	m.received = b.metrics.latency.receive()
	b.beginDelivery(o, m)
	defer m.record.End()
	ns, sockets := b.selectLocal(o.GetTarget())
	if ns == nil {
		return &wire.Count{}
	}
	var report Report
	if b.Overloaded() {
		report = Report{Matched: len(sockets)}
		b.metrics.FramesDropped(dropOverloaded, len(sockets))
		for _, s := range sockets {
			s.miss()
			s.noteDropped(dropOverloaded, 1)
		}
	} else {
		report = b.deliver(ns, sockets, m)
	}
	c := countOf(report.Matched)
	c.Partial = report.Partial
	c.Queued, c.Kept = uint32(report.Queued), uint32(report.Kept) //nolint:gosec // at most as many as sockets
	return c
}
