package broker

import (
	"context"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/socketio"
)

// everyone selects all members of a namespace.
var everyone = room.Target{All: true}

// Emit sends a message to the sockets that t selects. It may be called
// concurrently; what one goroutine emits arrives at a socket in the order of
// its calls. Nothing is sent if it returns an error, which is a *[Error].
func (b *Broker) Emit(ctx context.Context, t Target, m Message) (Report, error) {
	var v violations
	t.validate(&v)
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
	target := t.fanout()
	report := b.emitHere(ns, target, &m)
	if b.mesh != nil {
		b.spread(ctx, ns, &target, &m, &report)
	}
	return report, nil
}

// emit sends a message of a client or of the broker itself, which nobody waits
// to hear more of.
func (b *Broker) emit(ns *namespace, t room.Target, m *Message) {
	b.emitHere(ns, t, m)
	b.pass(ns, &t, m)
}

// emitHere encodes a valid message once and queues it for whom t selects on
// this node.
func (b *Broker) emitHere(ns *namespace, t room.Target, m *Message) Report {
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

func (t *Target) fanout() room.Target {
	return room.Target{
		All:         t.Everyone,
		Rooms:       t.Rooms,
		Users:       t.Users,
		IDs:         t.Sockets,
		ExceptRooms: t.ExceptRooms,
		ExceptUsers: t.ExceptUsers,
		ExceptIDs:   t.ExceptSockets,
	}
}
