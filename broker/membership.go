package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/salabroker/sala/broker/fanout"
)

// maxRoomsPerCall bounds how many rooms one call may join or leave.
const maxRoomsPerCall = 100

// Join puts the sockets that t selects into the rooms, whatever their tokens
// allow. Each joins all of them or, if it would be in too many, none: then it
// counts as refused. It may be called concurrently; the error is a *[Error].
func (b *Broker) Join(_ context.Context, t Target, rooms []string) (matched, refused int, err error) {
	sockets, err := b.selectForRooms(&t, rooms)
	if err != nil {
		return 0, 0, err
	}
	for _, s := range sockets {
		if _, err := s.ns.index.Join(s, rooms...); err != nil {
			refused++
		}
	}
	return len(sockets), refused, nil
}

// Leave takes the sockets that t selects out of the rooms. It may be called
// concurrently; the error is a *[Error].
func (b *Broker) Leave(_ context.Context, t Target, rooms []string) (matched int, err error) {
	sockets, err := b.selectForRooms(&t, rooms)
	if err != nil {
		return 0, err
	}
	for _, s := range sockets {
		s.ns.index.Leave(s, rooms...)
	}
	return len(sockets), nil
}

// selectForRooms checks a request about rooms and returns whom it selects.
func (b *Broker) selectForRooms(t *Target, rooms []string) ([]*socket, error) {
	var v violations
	if len(rooms) == 0 {
		v.add("rooms", "name at least one room")
	} else if len(rooms) > maxRoomsPerCall {
		v.add("rooms", "there are %d; at most %d are allowed", len(rooms), maxRoomsPerCall)
	} else {
		validateNames(&v, "rooms", rooms, validateRoom)
	}
	return b.selectSockets(t, v)
}

func (b *Broker) selectSockets(t *Target, v violations) ([]*socket, error) {
	var selector violations
	t.validate(&selector)
	for _, f := range selector {
		v.add("selector."+f.Field, "%s", f.Description)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	ns, err := b.namespace(t.Namespace)
	if err != nil {
		return nil, err
	}
	return ns.index.Select(nil, t.fanout()), nil
}

// maxReasonBytes bounds what a disconnected client is told.
const maxReasonBytes = 255

// Disconnect ends the sockets that t selects. Each gets what was emitted to it
// before, then the event "sala:disconnect" with {code, reason}, then
// Socket.IO's own disconnect. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) Disconnect(_ context.Context, t Target, reason string) (matched int, err error) {
	var v violations
	if len(reason) > maxReasonBytes {
		v.add("reason", "has %d bytes, at most %d are allowed", len(reason), maxReasonBytes)
	}
	sockets, err := b.selectSockets(&t, v)
	if err != nil {
		return 0, err
	}
	for _, s := range sockets {
		s.disconnect(reasonDisconnected, reason)
	}
	return len(sockets), nil
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

// ClearRoom takes everybody out of a room and returns how many that were. To a
// member the notice comes before it leaves: the room is emptied in one step
// and the notice sent to exactly those who were in it, so that nobody can join
// in between and be thrown out unheard, and nobody is who joins again upon the
// notice. It may be called concurrently; the error is a *[Error].
func (b *Broker) ClearRoom(_ context.Context, c ClearRoom) (removed int, err error) {
	var v violations
	validateRoom(&v, "room", c.Room)
	if c.Notice != nil {
		var notice violations
		c.Notice.validate(&notice, b.opts.MaxMessageBytes)
		for _, f := range notice {
			v.add("notice."+f.Field, "%s", f.Description)
		}
	}
	if err := v.err(); err != nil {
		return 0, err
	}
	ns, err := b.namespace(c.Namespace)
	if err != nil {
		return 0, err
	}
	members := ns.index.Clear(c.Room)
	if c.Notice != nil {
		b.deliver(ns, members, c.Notice)
	}
	if c.Disconnect {
		for _, s := range members {
			s.disconnect(reasonDisconnected, fmt.Sprintf("the room %s was cleared", c.Room))
		}
	}
	return len(members), nil
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
func (b *Broker) join(s *socket, room string) (joined bool, err *Error) {
	added, joinErr := s.ns.index.Join(s, room)
	switch {
	case errors.Is(joinErr, fanout.ErrTooManyRooms):
		return false, tooManyRooms(b.opts.MaxRoomsPerSocket)
	case joinErr != nil:
		return false, errSocketGone()
	}
	return len(added) > 0, nil
}
