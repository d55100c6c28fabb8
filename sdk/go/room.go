package sala

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// Room is a room and its size.
type Room struct {
	// Name is the room's name.
	Name string
	// Namespace is the room's namespace.
	Namespace string
	// Sockets is the number of sockets in the room.
	Sockets int
}

// RoomFilter says which rooms to list. The zero value lists all rooms of all namespaces.
type RoomFilter struct {
	// Namespace lists only rooms in this namespace.
	Namespace string
	// Prefix lists only rooms whose name begins with this.
	Prefix string
	// Query lists only rooms whose name contains this, whatever the case of its letters. Such a list
	// has at most 10,000 rooms and may be a few seconds old.
	Query string
	// LargestFirst lists the rooms with the most sockets first, with the same limits.
	LargestFirst bool
	// PageSize is how many rooms a call returns, at most 1000. The default is 100.
	PageSize int
}

// Rooms lists rooms. Rooms that open or close meanwhile may be missed; none is listed twice.
func (c *Client) Rooms(filter RoomFilter) *List[Room] {
	order := salav1.RoomOrder_ROOM_ORDER_UNSPECIFIED
	if filter.LargestFirst {
		order = salav1.RoomOrder_ROOM_ORDER_SOCKETS
	}
	return &List[Room]{read: func(ctx context.Context, token string) (*page[Room], error) {
		response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.ListRoomsResponse, error) {
			return c.rooms.ListRooms(ctx, &salav1.ListRoomsRequest{
				Namespace: filter.Namespace,
				Prefix:    filter.Prefix,
				Query:     filter.Query,
				Order:     order,
				PageSize:  count(filter.PageSize),
				PageToken: token,
			})
		})
		if err != nil {
			return nil, err
		}
		rooms := &page[Room]{
			next:         response.GetNextPageToken(),
			partial:      response.GetPartial(),
			missingNodes: response.GetMissingNodes(),
			truncated:    response.GetTruncated(),
		}
		for _, room := range response.GetRooms() {
			rooms.items = append(rooms.items, Room{Name: room.GetName(), Namespace: room.GetNamespace(), Sockets: int(room.GetSockets())})
		}
		return rooms, nil
	}}
}

// RoomInfo is a room with its users.
type RoomInfo struct {
	Room
	// Users is the number of different users that the sockets belong to. All anonymous sockets together
	// count as one.
	Users int
	// Partial says that a node didn't answer, so that the counts leave it out.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
}

// RoomRef names a room of a broker: [Client.Room] makes one. Its methods may be called concurrently.
type RoomRef struct {
	client    *Client
	namespace string
	name      string
}

// Room names a room in the namespace "/". It makes no call: a room exists while it has members.
func (c *Client) Room(name string) RoomRef { return RoomRef{client: c, name: name} }

// In names the room with the same name in another namespace.
func (r RoomRef) In(namespace string) RoomRef {
	r.namespace = namespace
	return r
}

// Get counts the room's members. It fails with codes.NotFound if the room has none.
func (r RoomRef) Get(ctx context.Context) (*RoomInfo, error) {
	response, err := call(ctx, r.client, true, func(ctx context.Context) (*salav1.GetRoomResponse, error) {
		return r.client.rooms.GetRoom(ctx, &salav1.GetRoomRequest{Room: r.name, Namespace: r.namespace})
	})
	if err != nil {
		return nil, err
	}
	return &RoomInfo{
		Room:         Room{Name: response.GetName(), Namespace: response.GetNamespace(), Sockets: int(response.GetSockets())},
		Users:        int(response.GetUsers()),
		Partial:      response.GetPartial(),
		MissingNodes: response.GetMissingNodes(),
	}, nil
}

// ClearOptions say how to clear a room.
type ClearOptions struct {
	// Event is sent to every member before it leaves. Empty means no event.
	Event string
	// Args are the arguments of the event, for encoding/json, without binary data.
	Args []any
	// Disconnect disconnects the members too.
	Disconnect bool
}

// Cleared counts the members that were removed from a room.
type Cleared struct {
	// Removed is the number of sockets that were removed.
	Removed int
	// Partial says that a node didn't answer, so that its members may still be in the room.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
}

// Clear removes every member from the room. Clearing an empty room is no error. The call isn't
// repeated: a repeat would remove clients that have joined again.
func (r RoomRef) Clear(ctx context.Context, options ClearOptions) (*Cleared, error) {
	request := &salav1.ClearRoomRequest{Room: r.name, Namespace: r.namespace, Disconnect: options.Disconnect}
	if options.Event != "" {
		args, err := encodeValue(append([]any{}, options.Args...))
		if err != nil {
			return nil, invalid("the arguments of %s: %v", options.Event, err)
		}
		request.Notice = &salav1.Notice{Event: options.Event, Args: &structpb.ListValue{Values: args.GetListValue().GetValues()}}
	}
	response, err := call(ctx, r.client, false, func(ctx context.Context) (*salav1.ClearRoomResponse, error) {
		return r.client.rooms.ClearRoom(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return &Cleared{Removed: int(response.GetRemoved()), Partial: response.GetPartial(), MissingNodes: response.GetMissingNodes()}, nil
}

// Position is a place in the history of a room: just after one message. Two positions of a room can
// be compared only if their epochs are equal.
type Position struct {
	// Epoch changes whenever messages are forgotten before their time. Opaque.
	Epoch string
	// Offset is the number of the message. Messages count from 1 in each epoch.
	Offset uint64
}

// HistoryQuery says which messages of a room to read. The zero value reads from the oldest message
// that is kept.
type HistoryQuery struct {
	// Last reads the newest messages, so many at most: 1 to 1000, oldest first. It excludes the other
	// fields.
	Last int
	// Since reads the messages after this position or, backward, those before it.
	Since *Position
	// Backward reads from newer to older messages.
	Backward bool
	// Limit is the maximum number of messages, at most 1000. The default is 100.
	Limit int
}

// History is a part of a room's history.
type History struct {
	// Messages are the messages in the order of reading. There are none if nothing is left to read.
	Messages []RoomMessage
	// Position is where to read on from, as HistoryQuery.Since.
	Position Position
	// Complete says that nothing is missing between HistoryQuery.Since and the messages.
	Complete bool
}

// RoomMessage is one message in the history of a room.
type RoomMessage struct {
	// Offset is the message's offset in the epoch of the history.
	Offset uint64
	// Event is the event's name.
	Event string
	// Args are the event's arguments.
	Args Args
	// Time is when the broker accepted the message.
	Time time.Time
	// IdempotencyKey is the key with which the message was emitted. Empty if it had none.
	IdempotencyKey string
}

// Messages reads the room's history. It fails with the reason HISTORY_DISABLED if the room has none.
func (r RoomRef) Messages(ctx context.Context, query HistoryQuery) (*History, error) {
	request := &salav1.ListMessagesRequest{
		Room:      r.name,
		Namespace: r.namespace,
		Last:      int32(min(max(query.Last, 0), 1<<30)),
		Limit:     int32(min(max(query.Limit, 0), 1<<30)),
	}
	if query.Since != nil {
		request.Since = &salav1.Position{Epoch: query.Since.Epoch, Offset: query.Since.Offset}
	}
	if query.Backward {
		request.Direction = salav1.Direction_DIRECTION_BACKWARD
	}
	response, err := call(ctx, r.client, true, func(ctx context.Context) (*salav1.ListMessagesResponse, error) {
		return r.client.rooms.ListMessages(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	history := &History{
		Position: Position{Epoch: response.GetEpoch(), Offset: response.GetOffset()},
		Complete: response.GetComplete(),
	}
	for _, m := range response.GetMessages() {
		history.Messages = append(history.Messages, RoomMessage{
			Offset:         m.GetOffset(),
			Event:          m.GetEvent(),
			Args:           Args{text: m.GetArgsJson(), attachments: m.GetAttachments()},
			Time:           m.GetTime().AsTime(),
			IdempotencyKey: m.GetIdempotencyKey(),
		})
	}
	return history, nil
}

// ClearMessages forgets the room's history. Members stay in the room. The call isn't repeated: a
// repeat would forget messages sent in between.
func (r RoomRef) ClearMessages(ctx context.Context) error {
	_, err := call(ctx, r.client, false, func(ctx context.Context) (*salav1.ClearMessagesResponse, error) {
		return r.client.rooms.ClearMessages(ctx, &salav1.ClearMessagesRequest{Room: r.name, Namespace: r.namespace})
	})
	return err
}

// Users lists the users in the room.
func (r RoomRef) Users(filter UserFilter) *List[PresentUser] {
	filter.Namespace = r.namespace
	return r.client.listUsers(r.name, filter)
}
