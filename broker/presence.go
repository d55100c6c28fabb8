package broker

import (
	"context"
	"encoding/json"
	"fmt"
)

// UserQuery says which users [Broker.Users] lists.
type UserQuery struct {
	// Namespace is the namespace; empty means "/".
	Namespace string
	// Room limits the list to one room; empty means the whole namespace.
	Room string
	Page Page
}

// PresentUser is a user who is there.
type PresentUser struct {
	// User is the user's name.
	User string
	// Sockets is the number of the user's sockets that are there.
	Sockets int
	// Data is that of the socket that connected last; empty for none.
	Data json.RawMessage
}

// UserList is a page of users.
type UserList struct {
	// Users are ordered by name.
	Users []PresentUser
	// Next is the token of the next page; empty on the last one.
	Next string
	PartialResult
}

// RoomCount is how many are in a room.
type RoomCount struct {
	// Room is the room; empty for a whole namespace.
	Room string
	// Users is the number of different users, Sockets that of all sockets, including
	// those without a user.
	Users, Sockets int
}

// RoomCounts has the counts of rooms, in the order of the call.
type RoomCounts struct {
	Counts []RoomCount
	PartialResult
}

// OnlineUsers has those of some users who are connected, in the order of the call.
type OnlineUsers struct {
	Users []string
	PartialResult
}

// Users lists the users in a room or a namespace. It may be called concurrently; the
// error is a *[Error].
func (b *Broker) Users(context.Context, UserQuery) (UserList, error) {
	return UserList{}, errNoPresence()
}

// CountUsers counts the users and sockets of up to 1000 rooms; no rooms mean the whole
// namespace, as one count. It may be called concurrently; the error is a *[Error].
func (b *Broker) CountUsers(_ context.Context, namespace string, rooms []string) (RoomCounts, error) {
	if err := b.checkNamed(namespace, "rooms", rooms, validateRoom); err != nil {
		return RoomCounts{}, err
	}
	return RoomCounts{}, errNoPresence()
}

// Online returns which of up to 1000 users have a socket in the namespace. It may be
// called concurrently; the error is a *[Error].
func (b *Broker) Online(_ context.Context, namespace string, users []string) (OnlineUsers, error) {
	if len(users) == 0 {
		return OnlineUsers{}, violations{{Field: "users", Description: fmt.Sprintf("name 1 to %d users", maxTargets)}}.err()
	}
	if err := b.checkNamed(namespace, "users", users, validateUser); err != nil {
		return OnlineUsers{}, err
	}
	return OnlineUsers{}, errNoPresence()
}

// checkNamed checks the names of a call and its namespace.
func (b *Broker) checkNamed(namespace, field string, names []string, check func(*violations, string, string)) error {
	var v violations
	validateNames(&v, field, names, check)
	if err := v.err(); err != nil {
		return err
	}
	_, err := b.namespace(namespace)
	return err
}

func errNoPresence() *Error {
	return &Error{Code: CodeUnavailable, Reason: ReasonNodeUnavailable, Message: "this broker can't list users yet"}
}
