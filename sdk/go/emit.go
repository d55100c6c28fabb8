package sala

import (
	"context"
	"crypto/rand"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// EmitResult counts what happened to an event. Neither queued nor kept means received: ask for acks
// with [Target.EmitWithAck] if that matters.
type EmitResult struct {
	// Matched is the number of sockets that the target matched. 0 is not an error.
	Matched int
	// Queued is the number of matched sockets that the event was queued for.
	Queued int
	// Kept is the number of matched sockets whose clients are away and may return for the event.
	Kept int
	// Dropped is the number of matched sockets that won't get the event: the connection is closing,
	// its queue is full, or the event is volatile.
	Dropped int
	// Partial says that a node didn't answer, so that the counts leave it out. If the event has a key
	// of the caller's, repeat the call to reach that node as well.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
	// Positions say where the event is in the history of its rooms.
	Positions []RoomPosition
	// UnrecordedRooms are the rooms with a history that couldn't record the event.
	UnrecordedRooms []string
	// Duplicate says that an earlier call with the same idempotency key has sent the event. The rest is
	// the result of that call.
	Duplicate bool
}

// RoomPosition is a position in the history of a room.
type RoomPosition struct {
	// Room is the room's name.
	Room string
	// Position is the place of the event.
	Position
}

// Emit sends an event to the sockets of the target. It has 1 to 255 bytes and isn't one of Socket.IO's
// own names, such as "connect".
//
// The arguments are values for encoding/json. A []byte is sent as binary data if it is an argument, or
// stands in a []any or a map[string]any; in other values, encoding/json writes it as base64.
//
// The event is sent at most once to each socket. If the broker can't be reached, Emit repeats the
// call until the deadline, with a key that keeps the event from being sent twice.
func (t Target) Emit(ctx context.Context, event string, args ...any) (*EmitResult, error) {
	request, err := t.request(event, args)
	if err != nil {
		return nil, err
	}
	response, err := send(ctx, t, &request.IdempotencyKey, func(ctx context.Context) (*salav1.EmitResponse, error) {
		return t.client.messages.Emit(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return emitResultOf(response), nil
}

// request returns the request for an event, with the caller's key.
func (t Target) request(event string, args []any) (*salav1.EmitRequest, error) {
	encoded, err := encodeArgs(args)
	if err != nil {
		return nil, invalid("the arguments of %s: %v", event, err)
	}
	return &salav1.EmitRequest{
		Namespace:      t.namespace,
		Rooms:          t.rooms,
		Users:          t.users,
		Sockets:        t.sockets,
		ExceptRooms:    t.exceptRooms,
		ExceptUsers:    t.exceptUsers,
		ExceptSockets:  t.exceptSockets,
		Event:          event,
		ArgsJson:       encoded.text,
		Attachments:    encoded.attachments,
		Volatile:       t.volatile,
		SkipHistory:    t.skipHistory,
		ConflateKey:    t.conflateKey,
		IdempotencyKey: t.idempotencyKey,
	}, nil
}

// emitted is what the responses of Emit, EmitBatch and EmitStream have in common.
type emitted interface {
	GetMatched() uint32
	GetQueued() uint32
	GetKept() uint32
	GetDropped() uint32
	GetPartial() bool
	GetMissingNodes() []string
	GetPositions() []*salav1.RoomPosition
	GetUnrecordedRooms() []string
	GetDuplicate() bool
}

func emitResultOf(response emitted) *EmitResult {
	result := &EmitResult{
		Matched:         int(response.GetMatched()),
		Queued:          int(response.GetQueued()),
		Kept:            int(response.GetKept()),
		Dropped:         int(response.GetDropped()),
		Partial:         response.GetPartial(),
		MissingNodes:    response.GetMissingNodes(),
		UnrecordedRooms: response.GetUnrecordedRooms(),
		Duplicate:       response.GetDuplicate(),
	}
	for _, at := range response.GetPositions() {
		result.Positions = append(result.Positions, RoomPosition{
			Room: at.GetRoom(), Position: Position{Epoch: at.GetEpoch(), Offset: at.GetOffset()},
		})
	}
	return result
}

// Broadcast sends an event to every socket in the namespace "/", as [Target.Broadcast] does.
func (c *Client) Broadcast(ctx context.Context, event string, args ...any) (*EmitResult, error) {
	return c.Namespace("").Broadcast(ctx, event, args...)
}

// Broadcast sends an event to every socket in the namespace of the target, minus the excluded ones.
// The target names no rooms, users and sockets. Otherwise it is as [Target.Emit]. A broadcast is in
// no history and can't be conflated.
func (t Target) Broadcast(ctx context.Context, event string, args ...any) (*EmitResult, error) {
	switch {
	case len(t.rooms)+len(t.users)+len(t.sockets) > 0:
		return nil, invalid("a broadcast goes to everyone: use Emit for rooms, users and sockets")
	case t.skipHistory || t.conflateKey != "":
		return nil, invalid("a broadcast has neither a history nor a conflate key")
	}
	encoded, err := encodeArgs(args)
	if err != nil {
		return nil, invalid("the arguments of %s: %v", event, err)
	}
	request := &salav1.BroadcastRequest{
		Namespace:      t.namespace,
		ExceptRooms:    t.exceptRooms,
		ExceptUsers:    t.exceptUsers,
		ExceptSockets:  t.exceptSockets,
		Event:          event,
		ArgsJson:       encoded.text,
		Attachments:    encoded.attachments,
		Volatile:       t.volatile,
		IdempotencyKey: t.idempotencyKey,
	}
	response, err := send(ctx, t, &request.IdempotencyKey, func(ctx context.Context) (*salav1.BroadcastResponse, error) {
		return t.client.messages.Broadcast(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return &EmitResult{
		Matched:      int(response.GetMatched()),
		Queued:       int(response.GetQueued()),
		Kept:         int(response.GetKept()),
		Dropped:      int(response.GetDropped()),
		Partial:      response.GetPartial(),
		MissingNodes: response.GetMissingNodes(),
		Duplicate:    response.GetDuplicate(),
	}, nil
}

// send makes a call with the request's key or, if it may be repeated, with one that is made for it.
func send[T any](ctx context.Context, t Target, key *string, do func(context.Context) (T, error)) (T, error) {
	own := t.client.makeKey(t, key)
	result, err := call(ctx, t.client, repeatable(!t.noRetry && *key != ""), do)
	if own && ReasonOf(err) == reasonKeysDisabled { // nothing was sent
		t.client.keysDisabled.Store(true)
		*key = ""
		return call(ctx, t.client, false, do)
	}
	return result, err
}

// reasonKeysDisabled is the broker's answer to an event with a key if it remembers no keys.
const reasonKeysDisabled = "IDEMPOTENCY_DISABLED"

// makeKey gives an event a key if it has none and may be repeated. It returns whether it did.
func (c *Client) makeKey(t Target, key *string) bool {
	if *key != "" || t.noRetry || c.keysDisabled.Load() {
		return false
	}
	*key = rand.Text()
	return true
}
