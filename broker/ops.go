package broker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// Outcome counts what became of a call that changes sockets.
type Outcome struct {
	// Matched is how many sockets the call was about.
	Matched int
	// Refused is how many of them it left as they were; only of Join.
	Refused int
	Coverage
}

// maxRoomsPerCall bounds how many rooms one call may join or leave.
const maxRoomsPerCall = 100

// Join puts the sockets that t selects into the rooms, whatever their tokens
// allow. Each joins all of them or, if it would be in too many, none: then it
// counts as refused. It may be called concurrently; the error is a *[Error].
func (b *Broker) Join(ctx context.Context, t Target, rooms []string) (Outcome, error) {
	ns, err := b.checkRoomCall(&t, rooms)
	if err != nil {
		return Outcome{}, err
	}
	return b.commandAndWait(ctx, &wire.Order{Order: &wire.Order_Join{
		Join: &wire.JoinRooms{Target: targetTo(ns.name, &t), Rooms: rooms},
	}}), nil
}

// Leave takes the sockets that t selects out of the rooms. It may be called
// concurrently; the error is a *[Error].
func (b *Broker) Leave(ctx context.Context, t Target, rooms []string) (Outcome, error) {
	ns, err := b.checkRoomCall(&t, rooms)
	if err != nil {
		return Outcome{}, err
	}
	return b.command(ctx, ns, &t, &wire.Order{Order: &wire.Order_Leave{
		Leave: &wire.LeaveRooms{Target: targetTo(ns.name, &t), Rooms: rooms},
	}}), nil
}

// checkRoomCall checks a request about rooms and returns its namespace.
func (b *Broker) checkRoomCall(t *Target, rooms []string) (*namespace, error) {
	var v violations
	if len(rooms) == 0 {
		v.add("rooms", "name at least one room")
	} else if len(rooms) > maxRoomsPerCall {
		v.add("rooms", "there are %d; at most %d are allowed", len(rooms), maxRoomsPerCall)
	} else {
		validateNames(&v, "rooms", rooms, validateRoom)
	}
	return b.checkSelector(t, v)
}

// checkSelector adds what is wrong with t to v and returns its namespace.
func (b *Broker) checkSelector(t *Target, v violations) (*namespace, error) {
	var selector violations
	validateTarget(&selector, t)
	for _, f := range selector {
		v.add("selector."+f.Field, "%s", f.Description)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return b.namespace(t.Namespace)
}

// maxReasonBytes bounds what a disconnected client is told.
const maxReasonBytes = 255

// Disconnect ends the sockets that t selects. Each gets what was emitted to it
// before, then the event "sala:disconnect" with {code, reason}, then
// Socket.IO's own disconnect. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) Disconnect(ctx context.Context, t Target, reason string) (Outcome, error) {
	var v violations
	if len(reason) > maxReasonBytes {
		v.add("reason", "has %d bytes, at most %d are allowed", len(reason), maxReasonBytes)
	}
	ns, err := b.checkSelector(&t, v)
	if err != nil {
		return Outcome{}, err
	}
	return b.command(ctx, ns, &t, &wire.Order{Order: &wire.Order_Disconnect{
		Disconnect: &wire.Disconnect{Target: targetTo(ns.name, &t), Reason: reason},
	}}), nil
}

// ClearRoom says which room to clear, and how.
type ClearRoom struct {
	// Namespace is the room's namespace; empty means "/".
	Namespace string
	// Room is the room.
	Room string
	// Notice is what the members hear; nil for nothing.
	Notice *Message
	// Disconnect says whether to disconnect the members too.
	Disconnect bool
}

// ClearRoom takes everybody out of a room and counts them. To a member the
// notice comes before it leaves. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) ClearRoom(ctx context.Context, c ClearRoom) (Outcome, error) {
	var v violations
	validateRoom(&v, "room", c.Room)
	if c.Notice != nil {
		var notice violations
		c.Notice.validate(&notice, b.opts.messageLimits())
		for _, f := range notice {
			v.add("notice."+f.Field, "%s", f.Description)
		}
	}
	if err := v.err(); err != nil {
		return Outcome{}, err
	}
	ns, err := b.namespace(c.Namespace)
	if err != nil {
		return Outcome{}, err
	}
	order := &wire.ClearRoom{Namespace: ns.name, Room: c.Room, Disconnect: c.Disconnect}
	if c.Notice != nil {
		order.Notice = eventTo(c.Notice)
	}
	target := Target{Rooms: []string{c.Room}}
	return b.command(ctx, ns, &target, &wire.Order{Order: &wire.Order_Clear{Clear: order}}), nil
}

// Update replaces what backends see as the data of the sockets that t selects,
// as long as they are connected. Data is any JSON; null takes it away. It may be
// called concurrently; the error is a *[Error].
func (b *Broker) Update(ctx context.Context, t Target, data json.RawMessage) (Outcome, error) {
	var v violations
	if len(data) == 0 {
		v.add("data", "is missing; null takes away what is there")
	}
	validateData(&v, "data", data)
	ns, err := b.checkSelector(&t, v)
	if err != nil {
		return Outcome{}, err
	}
	if string(data) == "null" {
		data = nil
	}
	return b.command(ctx, ns, &t, &wire.Order{Order: &wire.Order_Update{
		Update: &wire.Update{Target: targetTo(ns.name, &t), Data: data},
	}}), nil
}

// command does an order to the sockets of this node and has the others do it
// to theirs, on which it waits for their counts. An order to t comes behind what
// was emitted to t before.
func (b *Broker) command(ctx context.Context, ns *namespace, t *Target, o *wire.Order) Outcome {
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
	r, err := b.mesh.PublishAndWait(ctx, route, encode(o))
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
