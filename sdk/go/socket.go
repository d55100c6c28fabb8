package sala

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// Socket is one client in one namespace.
type Socket struct {
	// ID is the socket's id, as the client sees it.
	ID string
	// User is the user of the socket's token. Empty if anonymous.
	User string
	// Namespace is the socket's namespace.
	Namespace string
	// Rooms are the rooms that the socket is in, sorted.
	Rooms []string
	// Address is the client's address: host and port, or the host if a proxy has reported it.
	Address string
	// Transport is "websocket" or "polling".
	Transport string
	// ConnectTime is when the socket connected.
	ConnectTime time.Time
	// Data is the data of the token, or what has replaced it: a value as encoding/json decodes it.
	Data any
	// Node is the id of the node that the client is connected to, or was last.
	Node string
	// Away says that the client has lost its connection and may return.
	Away bool
}

// SocketFilter says which sockets to list. A socket must match every field that is set. The zero
// value lists all sockets of all namespaces.
type SocketFilter struct {
	// Namespace lists only sockets in this namespace.
	Namespace string
	// Room lists only members of this room.
	Room string
	// User lists only sockets of this user.
	User string
	// Query lists only sockets whose user, id or address begins with this.
	Query string
	// PageSize is how many sockets a call returns, at most 1000. The default is 100.
	PageSize int
}

// Sockets lists sockets, ordered by id, including those whose clients are away.
func (c *Client) Sockets(filter SocketFilter) *List[Socket] {
	return &List[Socket]{read: func(ctx context.Context, token string) (*page[Socket], error) {
		response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.ListSocketsResponse, error) {
			return c.sockets.ListSockets(ctx, &salav1.ListSocketsRequest{
				Namespace: filter.Namespace,
				Room:      filter.Room,
				User:      filter.User,
				Query:     filter.Query,
				PageSize:  count(filter.PageSize),
				PageToken: token,
			})
		})
		if err != nil {
			return nil, err
		}
		sockets := &page[Socket]{
			next:         response.GetNextPageToken(),
			partial:      response.GetPartial(),
			missingNodes: response.GetMissingNodes(),
		}
		for _, socket := range response.GetSockets() {
			sockets.items = append(sockets.items, *socketOf(socket))
		}
		return sockets, nil
	}}
}

// Socket returns one socket. It fails with codes.NotFound if the socket is neither connected nor away.
func (c *Client) Socket(ctx context.Context, id string) (*Socket, error) {
	response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.GetSocketResponse, error) {
		return c.sockets.GetSocket(ctx, &salav1.GetSocketRequest{Id: id})
	})
	if err != nil {
		return nil, err
	}
	return socketOf(response.GetSocket()), nil
}

func socketOf(s *salav1.Socket) *Socket {
	return &Socket{
		ID:          s.GetId(),
		User:        s.GetUser(),
		Namespace:   s.GetNamespace(),
		Rooms:       s.GetRooms(),
		Address:     s.GetAddress(),
		Transport:   s.GetTransport(),
		ConnectTime: s.GetConnectTime().AsTime(),
		Data:        s.GetData().AsInterface(),
		Node:        s.GetNode(),
		Away:        s.GetState() == salav1.SocketState_SOCKET_STATE_AWAY,
	}
}

// SocketsResult counts the sockets that a call has acted on.
type SocketsResult struct {
	// Matched is the number of sockets that the target matched.
	Matched int
	// Refused is the number of matched sockets that joined no room because they would be in too many.
	// Only for [Target.Join].
	Refused int
	// Partial says that a node didn't answer, so that the counts leave it out.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
}

// counted is what the responses of these calls have in common.
type counted interface {
	GetMatched() uint32
	GetPartial() bool
	GetMissingNodes() []string
}

func socketsResult(response counted) *SocketsResult {
	return &SocketsResult{
		Matched:      int(response.GetMatched()),
		Partial:      response.GetPartial(),
		MissingNodes: response.GetMissingNodes(),
	}
}

// Join adds the sockets of the target to rooms, 1 to 100, whatever their tokens allow. A socket joins
// all of the rooms or none.
func (t Target) Join(ctx context.Context, rooms ...string) (*SocketsResult, error) {
	response, err := call(ctx, t.client, repeatable(!t.noRetry), func(ctx context.Context) (*salav1.JoinResponse, error) {
		return t.client.sockets.Join(ctx, &salav1.JoinRequest{Selector: t.selector(), Rooms: rooms})
	})
	if err != nil {
		return nil, err
	}
	result := socketsResult(response)
	result.Refused = int(response.GetRefused())
	return result, nil
}

// Leave removes the sockets of the target from rooms, 1 to 100.
func (t Target) Leave(ctx context.Context, rooms ...string) (*SocketsResult, error) {
	response, err := call(ctx, t.client, repeatable(!t.noRetry), func(ctx context.Context) (*salav1.LeaveResponse, error) {
		return t.client.sockets.Leave(ctx, &salav1.LeaveRequest{Selector: t.selector(), Rooms: rooms})
	})
	if err != nil {
		return nil, err
	}
	return socketsResult(response), nil
}

// Update replaces the data that backends see with the sockets of the target: a value for
// encoding/json of at most 4 KiB. nil removes the data.
func (t Target) Update(ctx context.Context, data any) (*SocketsResult, error) {
	value, err := encodeValue(data)
	if err != nil {
		return nil, invalid("the data of sockets: %v", err)
	}
	if value == nil {
		value = structpb.NewNullValue()
	}
	response, err := call(ctx, t.client, repeatable(!t.noRetry), func(ctx context.Context) (*salav1.UpdateResponse, error) {
		return t.client.sockets.Update(ctx, &salav1.UpdateRequest{Selector: t.selector(), Data: value})
	})
	if err != nil {
		return nil, err
	}
	return socketsResult(response), nil
}

// Disconnect disconnects the sockets of the target. Each first receives the event "sala:disconnect"
// with the reason, at most 255 bytes. The call isn't repeated: a repeat would disconnect clients that
// have come back.
func (t Target) Disconnect(ctx context.Context, reason string) (*SocketsResult, error) {
	response, err := call(ctx, t.client, false, func(ctx context.Context) (*salav1.DisconnectResponse, error) {
		return t.client.sockets.Disconnect(ctx, &salav1.DisconnectRequest{Selector: t.selector(), Reason: reason})
	})
	if err != nil {
		return nil, err
	}
	return socketsResult(response), nil
}
