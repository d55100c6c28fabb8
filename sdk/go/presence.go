package sala

import (
	"context"

	"github.com/salabroker/sala/sdk/go/salav1"
)

// PresentUser is a user who is there.
type PresentUser struct {
	// User is the user.
	User string
	// Sockets is the number of the user's sockets that are there.
	Sockets int
	// Data is the data of the one of these sockets that connected last, as encoding/json decodes it.
	Data any
}

// UserFilter says which users to list.
type UserFilter struct {
	// Namespace is where to look. Empty means "/". [RoomRef.Users] uses that of the room.
	Namespace string
	// Query lists only users whose name begins with this.
	Query string
	// PageSize is how many users a call returns, at most 1000. The default is 100.
	PageSize int
}

// Users lists the users who are connected to a namespace, ordered by name.
func (c *Client) Users(filter UserFilter) *List[PresentUser] { return c.listUsers("", filter) }

func (c *Client) listUsers(room string, filter UserFilter) *List[PresentUser] {
	return &List[PresentUser]{read: func(ctx context.Context, token string) (*page[PresentUser], error) {
		response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.ListUsersResponse, error) {
			return c.presence.ListUsers(ctx, &salav1.ListUsersRequest{
				Room:      room,
				Namespace: filter.Namespace,
				Query:     filter.Query,
				PageSize:  count(filter.PageSize),
				PageToken: token,
			})
		})
		if err != nil {
			return nil, err
		}
		users := &page[PresentUser]{
			next:         response.GetNextPageToken(),
			partial:      response.GetPartial(),
			missingNodes: response.GetMissingNodes(),
		}
		for _, user := range response.GetUsers() {
			users.items = append(users.items, PresentUser{User: user.GetUser(), Sockets: int(user.GetSockets()), Data: user.GetData().AsInterface()})
		}
		return users, nil
	}}
}

// RoomCount is how many are in a room.
type RoomCount struct {
	// Room is the room's name. Empty if the count is that of the whole namespace.
	Room string
	// Users is the number of different users.
	Users int
	// Sockets is the number of sockets, including those without a user.
	Sockets int
}

// Counts are the counts of several rooms.
type Counts struct {
	// Rooms are the counts in the order of the call. A room without members has zeros.
	Rooms []RoomCount
	// Partial says that a node didn't answer, so that the counts leave it out.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
}

// Count counts the users and sockets of up to 1000 rooms in a namespace, where empty means "/".
// Without rooms, it counts the whole namespace.
func (c *Client) Count(ctx context.Context, namespace string, rooms ...string) (*Counts, error) {
	response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.CountResponse, error) {
		return c.presence.Count(ctx, &salav1.CountRequest{Namespace: namespace, Rooms: rooms})
	})
	if err != nil {
		return nil, err
	}
	counts := &Counts{Partial: response.GetPartial(), MissingNodes: response.GetMissingNodes()}
	for _, room := range response.GetCounts() {
		counts.Rooms = append(counts.Rooms, RoomCount{Room: room.GetRoom(), Users: int(room.GetUsers()), Sockets: int(room.GetSockets())})
	}
	return counts, nil
}

// Online says who of some users is connected.
type Online struct {
	// Users are those who have a socket in the namespace, in the order of the call.
	Users []string
	// Partial says that a node didn't answer, so that users who are connected there may be missing.
	Partial bool
	// MissingNodes are the ids of these nodes.
	MissingNodes []string
}

// Online asks which of up to 1000 users are connected to a namespace, where empty means "/".
func (c *Client) Online(ctx context.Context, namespace string, users ...string) (*Online, error) {
	response, err := call(ctx, c, true, func(ctx context.Context) (*salav1.OnlineResponse, error) {
		return c.presence.Online(ctx, &salav1.OnlineRequest{Namespace: namespace, Users: users})
	})
	if err != nil {
		return nil, err
	}
	return &Online{Users: response.GetOnline(), Partial: response.GetPartial(), MissingNodes: response.GetMissingNodes()}, nil
}
