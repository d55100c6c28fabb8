package broker

import (
	"context"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/socketio"
)

// Emit sends a message to the sockets that t selects. It may be called
// concurrently; what one goroutine emits arrives at a socket in the order of
// its calls. Nothing is sent if it returns an error, which is a *[Error].
func (b *Broker) Emit(ctx context.Context, t Target, m Message) (Report, error) {
	var v violations
	validateTarget(&v, &t)
	m.validate(&v, b.opts.messageLimits())
	if err := v.err(); err != nil {
		return Report{}, err
	}
	ns, err := b.namespace(t.Namespace)
	if err != nil {
		return Report{}, err
	}
	if err := b.checkLoad(); err != nil {
		return Report{}, err
	}
	report := b.emitHere(ns, t, &m)
	if b.mesh != nil {
		b.spread(ctx, ns, &t, &m, &report)
	}
	return report, nil
}

// emit sends a message of a client or of the broker itself, which nobody waits
// to hear more of.
func (b *Broker) emit(ns *namespace, t Target, m *Message) {
	b.emitHere(ns, t, m)
	b.pass(ns, &t, m)
}

// emitHere encodes a valid message once and queues it for whom t selects on
// this node.
func (b *Broker) emitHere(ns *namespace, t Target, m *Message) Report {
	return b.deliver(ns, ns.index.Select(nil, t), m)
}

func (b *Broker) deliver(ns *namespace, to []*socket, m *Message) Report {
	report := Report{Matched: len(to)}
	if len(to) > 0 {
		f := newFrame(ns.name, nil, m)
		for _, s := range to {
			if s.deliver(f, m.Volatile) {
				report.Queued++
			}
		}
	}
	report.Dropped = report.Matched - report.Queued
	b.metrics.emitted(report)
	return report
}

// newFrame encodes a message once for all who get it. ackID, if not nil, asks
// them for an answer.
func newFrame(namespace string, ackID *uint64, m *Message) *engineio.Frame {
	p := socketio.Payload{Args: m.Args, Attachments: m.Attachments}
	return engineio.NewFrame(socketio.AppendEvent(nil, namespace, ackID, m.Event, p), m.Attachments...)
}

// spread has the other nodes send a message to their sockets that t selects,
// and adds their counts to the report if they are to be waited for.
func (b *Broker) spread(ctx context.Context, ns *namespace, t *Target, m *Message, report *Report) {
	route, ok := b.routeTo(ns.name, t)
	if !ok {
		return
	}
	order := encode(&wire.Order{Order: &wire.Order_Emit{Emit: &wire.Emit{Target: targetTo(ns.name, t), Event: eventTo(m)}}})
	if m.Unreported {
		if err := b.mesh.Publish(route, order); err != nil {
			report.Coverage = b.nobodyElse(err)
		}
		return
	}
	ctx, cancel := forOthers(ctx, reportTimeout)
	defer cancel()
	r, err := b.mesh.PublishAndWait(ctx, route, order)
	report.Coverage = b.coverage(r, err)
	for _, c := range counts(r) {
		report.Matched += int(c.GetMatched())
		report.Queued += int(c.GetQueued())
		report.Dropped += int(c.GetMatched()) - int(c.GetQueued())
	}
}

// pass has the other nodes send a message of a client or of the broker itself.
// Nobody waits for what becomes of it; what is lost is counted.
func (b *Broker) pass(ns *namespace, t *Target, m *Message) {
	if b.mesh == nil {
		return
	}
	route, ok := b.routeTo(ns.name, t)
	if !ok {
		return
	}
	order := &wire.Order{Order: &wire.Order_Emit{Emit: &wire.Emit{Target: targetTo(ns.name, t), Event: eventTo(m)}}}
	if err := b.mesh.Publish(route, encode(order)); err != nil {
		b.log.Debug("other nodes miss a message", "error", err) // the mesh counts it
	}
}
