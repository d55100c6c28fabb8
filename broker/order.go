package broker

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/room"
)

// command does an order to the sockets of this node and has the others do it
// to theirs, on which it waits for their counts. An order to t comes behind what
// was emitted to t before.
func (b *Broker) command(ctx context.Context, ns *namespace, t *room.Target, o *wire.Order) Outcome {
	out := outcomeOf(b.obey(o, interestTimeout))
	if b.mesh == nil {
		return out
	}
	route, ok := b.routeTo(ns.name, t)
	if !ok {
		return out
	}
	ctx, cancel := forOthers(ctx, queryTimeout)
	defer cancel()
	r, err := b.mesh.PublishReported(ctx, route, encode(o))
	return b.sum(out, r, err)
}

// commandAndWait is command for an order that other nodes may have to wait
// with: it goes to all of them as a question.
func (b *Broker) commandAndWait(ctx context.Context, o *wire.Order) Outcome {
	// Half of the time is for the others.
	out := outcomeOf(b.obey(o, min(interestTimeout, waitAtMost(ctx, 2*interestTimeout)/2)))
	if b.mesh == nil {
		return out
	}
	r, err := b.ask(ctx, &wire.Query{Query: &wire.Query_Order{Order: o}})
	return b.sum(out, r, err)
}

// sum adds what the other nodes have counted to what this one has.
func (b *Broker) sum(out Outcome, r cluster.Result, err error) Outcome {
	out.Coverage = b.coverage(r, err)
	for _, count := range counts(r) {
		out.Matched += int(count.GetMatched())
		out.Refused += int(count.GetRefused())
	}
	return out
}

func outcomeOf(c *wire.Count) Outcome {
	return Outcome{Matched: int(c.GetMatched()), Refused: int(c.GetRefused())}
}

// counts returns the counts of the nodes that have answered.
func counts(r cluster.Result) []*wire.Count {
	var counts []*wire.Count
	for _, reply := range r.Replies {
		var c wire.Count
		if reply.Err == nil && proto.Unmarshal(reply.Payload, &c) == nil {
			counts = append(counts, &c)
		}
	}
	return counts
}

// obey does an order to the sockets of this node. A namespace that isn't served
// here has none. A join waits for the bus, but no longer than wait.
func (b *Broker) obey(o *wire.Order, wait time.Duration) *wire.Count {
	switch o := o.GetOrder().(type) {
	case *wire.Order_Emit:
		return b.obeyEmit(o.Emit)
	case *wire.Order_Join:
		return b.obeyJoin(o.Join, wait)
	case *wire.Order_Leave:
		sockets := b.meant(o.Leave.GetTarget())
		for _, s := range sockets {
			s.ns.index.Leave(s, o.Leave.GetRooms()...)
		}
		return matched(len(sockets))
	case *wire.Order_Disconnect:
		sockets := b.meant(o.Disconnect.GetTarget())
		for _, s := range sockets {
			s.disconnect(reasonDisconnected, o.Disconnect.GetReason())
		}
		return matched(len(sockets))
	case *wire.Order_Update:
		sockets := b.meant(o.Update.GetTarget())
		for _, s := range sockets {
			s.update(o.Update.GetData())
		}
		return matched(len(sockets))
	case *wire.Order_Clear:
		return b.obeyClear(o.Clear)
	}
	return &wire.Count{} // of a release that knows more than this one
}

func matched(n int) *wire.Count {
	return &wire.Count{Matched: uint32(n)} //nolint:gosec // bounded by file descriptors
}

// meant returns the sockets of this node that a target selects.
func (b *Broker) meant(t *wire.Target) []*socket {
	ns, ok := b.namespaces[t.GetNamespace()]
	if !ok {
		return nil
	}
	return ns.index.Select(nil, targetFrom(t))
}

func (b *Broker) obeyEmit(o *wire.Emit) *wire.Count {
	ns, ok := b.namespaces[o.GetTarget().GetNamespace()]
	if !ok {
		return &wire.Count{}
	}
	var report Report
	if to := ns.index.Select(nil, targetFrom(o.GetTarget())); b.Overloaded() {
		report = b.notSent(len(to))
	} else {
		report = b.deliver(ns, to, messageFrom(o.GetEvent()))
	}
	c := matched(report.Matched)
	c.Queued = uint32(report.Queued) //nolint:gosec // bounded by file descriptors
	return c
}

// obeyJoin waits until this node hears what others send to the rooms, but no longer
// than wait, so that whoever is told of the join can rely on it.
func (b *Broker) obeyJoin(o *wire.JoinRooms, wait time.Duration) *wire.Count {
	sockets := b.meant(o.GetTarget())
	if len(sockets) == 0 {
		return &wire.Count{}
	}
	defer b.listenWithin(wait, roomTopics(o.GetTarget().GetNamespace(), o.GetRooms())...)()
	c := matched(len(sockets))
	for _, s := range sockets {
		if _, err := s.ns.index.Join(s, o.GetRooms()...); err != nil {
			c.Refused++
		}
	}
	return c
}

// obeyClear empties a room in one step and sends the notice to exactly those
// who were in it, so that nobody can join in between and be thrown out unheard,
// and nobody is who joins again upon the notice.
func (b *Broker) obeyClear(o *wire.ClearRoom) *wire.Count {
	ns, ok := b.namespaces[o.GetNamespace()]
	if !ok {
		return &wire.Count{}
	}
	members := ns.index.Clear(o.GetRoom())
	if o.GetNotice() != nil {
		b.deliver(ns, members, messageFrom(o.GetNotice()))
	}
	if o.GetDisconnect() {
		for _, s := range members {
			s.disconnect(reasonDisconnected, "the room "+o.GetRoom()+" was cleared")
		}
	}
	return matched(len(members))
}

// spread has the other nodes send a message to their sockets that t selects,
// and adds their counts to the report if they are to be waited for.
func (b *Broker) spread(ctx context.Context, ns *namespace, t *room.Target, m *Message, report *Report) {
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
	r, err := b.mesh.PublishReported(ctx, route, order)
	report.Coverage = b.coverage(r, err)
	for _, c := range counts(r) {
		report.Matched += int(c.GetMatched())
		report.Queued += int(c.GetQueued())
		report.Dropped += int(c.GetMatched()) - int(c.GetQueued())
	}
}

// pass has the other nodes send a message of a client or of the broker itself.
// Nobody waits for what becomes of it; what is lost is counted.
func (b *Broker) pass(ns *namespace, t *room.Target, m *Message) {
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

func targetTo(namespace string, t *room.Target) *wire.Target {
	return &wire.Target{
		Namespace:     namespace,
		Everyone:      t.All,
		Rooms:         t.Rooms,
		Users:         t.Users,
		Sockets:       t.IDs,
		ExceptRooms:   t.ExceptRooms,
		ExceptUsers:   t.ExceptUsers,
		ExceptSockets: t.ExceptIDs,
	}
}

func targetFrom(t *wire.Target) room.Target {
	return room.Target{
		All:         t.GetEveryone(),
		Rooms:       t.GetRooms(),
		Users:       t.GetUsers(),
		IDs:         t.GetSockets(),
		ExceptRooms: t.GetExceptRooms(),
		ExceptUsers: t.GetExceptUsers(),
		ExceptIDs:   t.GetExceptSockets(),
	}
}

func eventTo(m *Message) *wire.Event {
	return &wire.Event{Name: m.Event, Args: m.Args, Attachments: m.Attachments, Volatile: m.Volatile}
}

func messageFrom(e *wire.Event) *Message {
	return &Message{Event: e.GetName(), Args: e.GetArgs(), Attachments: e.GetAttachments(), Volatile: e.GetVolatile()}
}
