package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/room"
)

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
	target := t.fanout()
	return b.commandAndWait(ctx, &wire.Order{Order: &wire.Order_Join{
		Join: &wire.JoinRooms{Target: targetTo(ns.name, &target), Rooms: rooms},
	}}), nil
}

// Leave takes the sockets that t selects out of the rooms. It may be called
// concurrently; the error is a *[Error].
func (b *Broker) Leave(ctx context.Context, t Target, rooms []string) (Outcome, error) {
	ns, err := b.checkRoomCall(&t, rooms)
	if err != nil {
		return Outcome{}, err
	}
	target := t.fanout()
	return b.command(ctx, ns, &target, &wire.Order{Order: &wire.Order_Leave{
		Leave: &wire.LeaveRooms{Target: targetTo(ns.name, &target), Rooms: rooms},
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
	t.validate(&selector)
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
	target := t.fanout()
	return b.command(ctx, ns, &target, &wire.Order{Order: &wire.Order_Disconnect{
		Disconnect: &wire.Disconnect{Target: targetTo(ns.name, &target), Reason: reason},
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
	target := room.Target{Rooms: []string{c.Room}}
	return b.command(ctx, ns, &target, &wire.Order{Order: &wire.Order_Clear{Clear: order}}), nil
}

func tooManyRooms(limit int) *Error {
	return &Error{
		Code:    CodeResourceExhausted,
		Reason:  ReasonTooManyRooms,
		Message: fmt.Sprintf("a socket can be in at most %d rooms", limit),
	}
}

// join puts a client into a room at its own wish; joined is false if it was in
// it already.
func (b *Broker) join(s *socket, name string) (joined bool, err *Error) {
	defer b.listen(cluster.RoomTopic(s.ns.name, name))()
	added, joinErr := s.ns.index.Join(s, name)
	switch {
	case errors.Is(joinErr, room.ErrTooManyRooms):
		return false, tooManyRooms(b.opts.MaxRoomsPerSocket)
	case joinErr != nil:
		return false, errSocketGone()
	}
	return len(added) > 0, nil
}
