package broker

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/broker/cluster/wire"
)

// UserQuery says which users [Broker.Users] lists.
type UserQuery struct {
	// Namespace is the namespace; empty means "/".
	Namespace string
	// Room limits the list to one room; empty means the whole namespace.
	Room string
	Page Page
}

// UserList is a page of users.
type UserList struct {
	// Users are ordered by name.
	Users []PresentUser
	// Next is the token of the next page; empty on the last one.
	Next string
	PartialResult
}

// OnlineUsers has those of some users who are connected, in the order of the call.
type OnlineUsers struct {
	Users []string
	PartialResult
}

// Users lists the users in a room or a namespace, each once whatever the number of
// sockets and nodes. It may be called concurrently; the error is a *[Error].
func (b *Broker) Users(ctx context.Context, q UserQuery) (UserList, error) {
	size, after, err := q.Page.parse(pageOfUsers, 1)
	if err != nil {
		return UserList{}, err
	}
	var v violations
	if q.Room != "" {
		validateRoom(&v, "room", q.Room)
	}
	if err := v.err(); err != nil {
		return UserList{}, err
	}
	ns, err := b.namespace(q.Namespace)
	if err != nil {
		return UserList{}, err
	}
	// One entry more than the page has says whether there is a next page.
	var list UserList
	list.Users, list.PartialResult = b.listUsers(ctx, ns.name, q.Room, after[0], size+1)
	if len(list.Users) > size {
		list.Users = list.Users[:size]
		list.Next = pageToken(pageOfUsers, list.Users[size-1].User)
	}
	return list, nil
}

// CountUsers counts the users and sockets of up to 1000 rooms; no rooms mean the whole
// namespace, as one count. Each user of a room counts once, whatever the number of
// sockets and nodes. It may be called concurrently; the error is a *[Error]: with the
// reason TOO_MANY_USERS if rooms have members at several nodes and more than 500,000
// users together there.
func (b *Broker) CountUsers(ctx context.Context, namespace string, rooms []string) (RoomCounts, error) {
	ns, err := b.checkNamed(namespace, "rooms", rooms, validateRoom)
	if err != nil {
		return RoomCounts{}, err
	}
	if len(rooms) == 0 {
		rooms = []string{""}
	}
	return b.countUsers(ctx, ns.name, rooms)
}

// Online returns which of up to 1000 users have a socket in the namespace. It may be
// called concurrently; the error is a *[Error].
func (b *Broker) Online(ctx context.Context, namespace string, users []string) (OnlineUsers, error) {
	if len(users) == 0 {
		return OnlineUsers{}, violations{{Field: "users", Description: fmt.Sprintf("name 1 to %d users", maxTargets)}}.err()
	}
	ns, err := b.checkNamed(namespace, "users", users, validateUser)
	if err != nil {
		return OnlineUsers{}, err
	}
	query := &wire.FindUsers{Namespace: ns.name, Users: users}
	replies, partial := callAll[wire.FoundUsers](ctx, b, &wire.Op{Op: &wire.Op_FindUsers{FindUsers: query}})
	found := make(map[string]bool)
	for _, reply := range append(replies, b.findLocalUsers(query)) {
		for _, user := range reply.GetUsers() {
			found[user] = true
		}
	}
	online := OnlineUsers{PartialResult: partial}
	for _, user := range users {
		if found[user] {
			online.Users = append(online.Users, user)
		}
	}
	return online, nil
}

// checkNamed checks the names of a call and returns its namespace.
func (b *Broker) checkNamed(name, field string, names []string, check func(*violations, string, string)) (*namespace, error) {
	var v violations
	validateNames(&v, field, names, check)
	if err := v.err(); err != nil {
		return nil, err
	}
	return b.namespace(name)
}
