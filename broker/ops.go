package broker

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// maxRoomsPerCall bounds how many rooms one call may join or leave.
const maxRoomsPerCall = 100

// maxReasonBytes bounds the reason that a disconnected client gets.
const maxReasonBytes = 255

// Join adds the sockets that t selects to the rooms, whatever their tokens allow.
// Each joins all of them or, if it would be in too many, none: then it counts as
// refused. It may be called concurrently; the error is a *[Error].
func (b *Broker) Join(ctx context.Context, t Target, rooms []string) (Outcome, error) {
	if err := b.checkRoomCall(&t, rooms); err != nil {
		return Outcome{}, err
	}
	op := &wire.Op{Op: &wire.Op_Join{Join: &wire.JoinRooms{Target: targetToWire(&t), Rooms: rooms}}}
	// A join may wait until the bus has confirmed a subscription, here and at the
	// other nodes. So they are called, and have half of the time.
	return b.do(ctx, op, everyNode(), min(subscribeTimeout, waitAtMost(ctx, 2*subscribeTimeout)/2)), nil
}

// Leave removes the sockets that t selects from the rooms. It may be called
// concurrently; the error is a *[Error].
func (b *Broker) Leave(ctx context.Context, t Target, rooms []string) (Outcome, error) {
	if err := b.checkRoomCall(&t, rooms); err != nil {
		return Outcome{}, err
	}
	op := &wire.Op{Op: &wire.Op_Leave{Leave: &wire.LeaveRooms{Target: targetToWire(&t), Rooms: rooms}}}
	return b.do(ctx, op, b.nodesOf(&t), 0), nil
}

// Disconnect ends the sockets that t selects. Each gets what was emitted to it
// before, then the event "sala:disconnect" with {code, reason}, then
// Socket.IO's own disconnect. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) Disconnect(ctx context.Context, t Target, reason string) (Outcome, error) {
	var v violations
	if len(reason) > maxReasonBytes {
		v.add("reason", "has %d bytes, at most %d are allowed", len(reason), maxReasonBytes)
	}
	if err := b.checkSelector(&t, v); err != nil {
		return Outcome{}, err
	}
	op := &wire.Op{Op: &wire.Op_Disconnect{Disconnect: &wire.Disconnect{Target: targetToWire(&t), Reason: reason}}}
	return b.do(ctx, op, b.nodesOf(&t), 0), nil
}

// Update replaces the data that backends see with the sockets that t selects, for
// as long as they are connected. Data is any JSON; null removes it. It may be
// called concurrently; the error is a *[Error].
func (b *Broker) Update(ctx context.Context, t Target, data json.RawMessage) (Outcome, error) {
	var v violations
	if len(data) == 0 {
		v.add("data", "is missing; send null to remove the data")
	}
	validateData(&v, "data", data)
	if err := b.checkSelector(&t, v); err != nil {
		return Outcome{}, err
	}
	if string(data) == "null" {
		data = nil
	}
	op := &wire.Op{Op: &wire.Op_Update{Update: &wire.Update{Target: targetToWire(&t), Data: data}}}
	return b.do(ctx, op, b.nodesOf(&t), 0), nil
}

// ClearRoom says which room to clear, and how.
type ClearRoom struct {
	// Namespace is the room's namespace; empty means "/".
	Namespace string
	// Room is the room.
	Room string
	// Notice is a message for the members; nil for none.
	Notice *Message
	// Disconnect says whether to disconnect the members as well.
	Disconnect bool
}

// ClearRoom removes all sockets from a room and counts them. A member gets the
// notice before it leaves. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) ClearRoom(ctx context.Context, c ClearRoom) (Outcome, error) {
	var v violations
	validateRoom(&v, "room", c.Room)
	if c.Notice != nil {
		var notice violations
		c.Notice.validate(&notice, b.messageLimits)
		refuseConflation(&notice, c.Notice)
		v.addBelow("notice.", notice)
	}
	if err := v.err(); err != nil {
		return Outcome{}, err
	}
	ns, err := b.namespace(c.Namespace)
	if err != nil {
		return Outcome{}, err
	}
	clearRoom := &wire.ClearRoom{Namespace: ns.name, Room: c.Room, Disconnect: c.Disconnect}
	if c.Notice != nil {
		notice := *c.Notice // the caller may use it again, for another message
		b.identify(&notice)
		clearRoom.Notice = messageToWire(&notice)
	}
	to := b.nodesOf(&Target{Namespace: ns.name, Rooms: []string{c.Room}})
	return b.do(ctx, &wire.Op{Op: &wire.Op_Clear{Clear: clearRoom}}, to, 0), nil
}

// checkRoomCall checks a call about rooms, as [Broker.checkSelector] does.
func (b *Broker) checkRoomCall(t *Target, rooms []string) error {
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

// checkSelector checks the target of a call and sets the name of its namespace in t.
// v has what else is wrong with the call.
func (b *Broker) checkSelector(t *Target, v violations) error {
	var selector violations
	validateTarget(&selector, t)
	v.addBelow("selector.", selector)
	if err := v.err(); err != nil {
		return err
	}
	ns, err := b.namespace(t.Namespace)
	if err != nil {
		return err
	}
	t.Namespace = ns.name
	return nil
}

// do carries out an operation on the sockets of this node, has the other nodes do
// the same, and adds up their counts. wait is how long a join may wait here.
func (b *Broker) do(ctx context.Context, op *wire.Op, others destination, wait time.Duration) Outcome {
	var here *wire.Count
	apply := func() { here = b.applyLocal(cluster.NodeID(b.id), op, wait) }
	if others.route.Topic == "" {
		apply()
		apply = func() {}
		others = b.extend(others, targetOf(op).GetSockets())
	}
	counts, partial := b.countOthers(ctx, others, callTimeout, op, apply)
	out := Outcome{Matched: int(here.GetMatched()), Refused: int(here.GetRefused())}
	for _, there := range counts {
		out.Matched += int(there.GetMatched())
		out.Refused += int(there.GetRefused())
	}
	out.PartialResult = partial
	out.Partial = out.Partial || here.GetPartial()
	return out
}

// maxMoves bounds how often sockets are followed to the node that has them now.
const maxMoves = 3

// countOthers is callOthersThen for an operation that is answered with Count. It follows
// sockets that have moved.
func (b *Broker) countOthers(ctx context.Context, to destination, timeout time.Duration, op *wire.Op, then func()) ([]*wire.Count, PartialResult) {
	result, partial := b.callOthersThen(ctx, to, timeout, op, then)
	counts := decode[wire.Count](result, &partial)
	last := counts
	for range maxMoves {
		moved := movedIn(last)
		if len(moved) == 0 {
			break
		}
		again, to := restrict(op, moved)
		result, missing := b.callOthers(ctx, to, timeout, again)
		last = decode[wire.Count](result, &missing)
		if slices.Contains(to.route.Nodes, cluster.NodeID(b.id)) { // it has moved here since
			here := b.applyLocal(cluster.NodeID(b.id), again, 0)
			here.Moved = b.movedFrom(targetOf(again))
			last = append(last, here)
		}
		counts = append(counts, last...)
		partial.Partial = partial.Partial || missing.Partial
		partial.miss(missing.Missing...)
	}
	if moved := movedIn(last); len(moved) > 0 { // it moves faster than anybody can ask
		again, to := restrict(op, moved)
		_ = b.tell(to, again) // the mesh counts what is lost
		partial.Partial = true
	}
	for _, c := range counts {
		partial.Partial = partial.Partial || c.GetPartial()
	}
	return counts, partial
}

// movedIn returns the sockets that other nodes have, as nodes say.
func movedIn(counts []*wire.Count) (moved []*wire.SessionMoved) {
	for _, c := range counts {
		moved = append(moved, c.GetMoved()...)
	}
	return moved
}

// applyLocal carries out an operation of a node, maybe this one, on the sockets of
// this node. A namespace that this node doesn't have has no sockets. A join waits for the bus, but no
// longer than wait.
func (b *Broker) applyLocal(from cluster.NodeID, op *wire.Op, wait time.Duration) *wire.Count {
	switch o := op.GetOp().(type) {
	case *wire.Op_Emit:
		return b.applyEmit(from, o.Emit)
	case *wire.Op_Join:
		return b.applyJoin(o.Join, wait)
	case *wire.Op_Leave:
		return b.forEach(o.Leave.GetTarget(), func(s *socket) { s.ns.index.Leave(s, o.Leave.GetRooms()...) })
	case *wire.Op_Disconnect:
		return b.forEach(o.Disconnect.GetTarget(), func(s *socket) { s.disconnect(reasonDisconnected, o.Disconnect.GetReason()) })
	case *wire.Op_Update:
		return b.forEach(o.Update.GetTarget(), func(s *socket) { s.update(o.Update.GetData()) })
	case *wire.Op_Clear:
		return b.applyClear(from, o.Clear)
	}
	return &wire.Count{}
}

// forEach calls do for each socket of this node that t selects, and counts them.
func (b *Broker) forEach(t *wire.Target, do func(*socket)) *wire.Count {
	_, sockets := b.selectLocal(t)
	matched := 0
	for _, s := range sockets {
		if !s.isShadow() { // otherwise the node that has it counts it
			matched++
		}
		do(s)
	}
	c := countOf(matched)
	c.Partial = matched < len(sockets)
	return c
}

// selectLocal returns the sockets of this node that a target selects, and their
// namespace, which is nil if this node doesn't have it.
func (b *Broker) selectLocal(t *wire.Target) (*namespace, []*socket) {
	ns, ok := b.namespaces[t.GetNamespace()]
	if !ok {
		return nil, nil
	}
	return ns, ns.index.Select(nil, targetFromWire(t))
}

func countOf(matched int) *wire.Count {
	return &wire.Count{Matched: uint32(matched)} //nolint:gosec // bounded by file descriptors
}

// applyJoin first waits until this node receives what others send to the rooms,
// but no longer than wait, so that a caller who knows of the join can rely on it.
func (b *Broker) applyJoin(o *wire.JoinRooms, wait time.Duration) *wire.Count {
	_, sockets := b.selectLocal(o.GetTarget())
	moved := b.joinDeparted(o)
	if len(sockets) == 0 {
		return &wire.Count{Partial: moved}
	}
	release, _ := b.subscribeTopics(wait, roomTopics(o.GetTarget().GetNamespace(), o.GetRooms())...)
	defer release()
	c := countOf(len(sockets))
	for _, s := range sockets {
		if _, err := s.ns.index.Join(s, o.GetRooms()...); err != nil {
			c.Refused++
		}
	}
	c.Partial = moved
	return c
}

// applyClear removes all members in one step and sends the notice to exactly
// those. So nobody can join in between and be removed without the notice, and a
// member that joins again because of the notice stays.
func (b *Broker) applyClear(from cluster.NodeID, o *wire.ClearRoom) *wire.Count {
	ns, ok := b.namespaces[o.GetNamespace()]
	if !ok {
		return &wire.Count{}
	}
	members := ns.index.Clear(o.GetRoom())
	if o.GetNotice() != nil {
		notice := messageFromWire(from, o.GetNotice())
		b.prepareRecord(&Target{Namespace: ns.name, Rooms: []string{o.GetRoom()}}, notice)
		b.deliver(ns, members, notice)
	}
	if o.GetDisconnect() {
		for _, s := range members {
			s.disconnect(reasonDisconnected, "the room "+o.GetRoom()+" was cleared")
		}
	}
	return countOf(len(members))
}
