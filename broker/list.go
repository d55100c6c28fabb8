package broker

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/fanout"
)

// Limits of a page.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// ListRooms lists rooms ordered by namespace and name. next is the token of
// the next page, empty on the last one. It may be called concurrently; the
// error is a *[Error].
func (b *Broker) ListRooms(_ context.Context, q RoomQuery) (rooms []RoomInfo, next string, err error) {
	size, after, err := q.Page.parse(pageOfRooms, 2)
	if err != nil {
		return nil, "", err
	}
	names, err := b.namespacesFor(q.Namespace)
	if err != nil {
		return nil, "", err
	}
	for _, name := range names {
		from := ""
		switch {
		case name < after[0]:
			continue
		case name == after[0]:
			from = after[1]
		}
		// One more than fits says whether there is a next page.
		for _, r := range b.namespaces[name].index.Rooms(q.Prefix, from, size+1-len(rooms)) {
			rooms = append(rooms, RoomInfo{Name: r.Name, Namespace: name, Sockets: r.Members})
		}
		if len(rooms) > size {
			last := rooms[size-1]
			return rooms[:size], pageToken(pageOfRooms, last.Namespace, last.Name), nil
		}
	}
	return rooms, "", nil
}

// GetRoom counts a room's members. The error is a *[Error], with CodeNotFound
// if nobody is in the room. It may be called concurrently.
func (b *Broker) GetRoom(_ context.Context, namespace, room string) (RoomInfo, error) {
	var v violations
	validateRoom(&v, "room", room)
	if err := v.err(); err != nil {
		return RoomInfo{}, err
	}
	ns, err := b.namespace(namespace)
	if err != nil {
		return RoomInfo{}, err
	}
	sockets, users := ns.index.Room(room)
	if sockets == 0 {
		return RoomInfo{}, &Error{
			Code:    CodeNotFound,
			Reason:  ReasonRoomNotFound,
			Message: fmt.Sprintf("nobody is in the room %q of the namespace %q", room, ns.name),
		}
	}
	return RoomInfo{Name: room, Namespace: ns.name, Sockets: sockets, Users: users}, nil
}

// ListSockets lists sockets ordered by id. next is the token of the next page,
// empty on the last one. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) ListSockets(_ context.Context, q SocketQuery) (sockets []SocketInfo, next string, err error) {
	size, after, err := q.Page.parse(pageOfSockets, 1)
	if err != nil {
		return nil, "", err
	}
	names, err := b.namespacesFor(q.Namespace)
	if err != nil {
		return nil, "", err
	}
	var found []*socket
	for _, name := range names {
		found = append(found, b.members(name, q, after[0], size+1)...)
	}
	slices.SortFunc(found, func(a, b *socket) int { return strings.Compare(a.id, b.id) })
	if len(found) > size {
		found = found[:size]
		next = pageToken(pageOfSockets, found[size-1].id)
	}
	for _, s := range found {
		sockets = append(sockets, s.info())
	}
	return sockets, next, nil
}

func (b *Broker) members(namespace string, q SocketQuery, after string, limit int) []*socket {
	t := fanout.Target{All: q.Room == "" && q.User == ""}
	if q.Room != "" {
		t.Rooms = []string{q.Room}
	} else if q.User != "" {
		t.Users = []string{q.User}
	}
	index := b.namespaces[namespace].index
	if q.Room == "" || q.User == "" {
		return index.Members(t, after, limit)
	}
	inRoom, _ := index.Len()
	both := slices.DeleteFunc(index.Members(t, after, inRoom), func(s *socket) bool { return s.User() != q.User })
	return both[:min(limit, len(both))]
}

// GetSocket describes a socket. The error is a *[Error], with CodeNotFound if
// it isn't connected. It may be called concurrently.
func (b *Broker) GetSocket(_ context.Context, id string) (SocketInfo, error) {
	var v violations
	validateID(&v, "id", id)
	if err := v.err(); err != nil {
		return SocketInfo{}, err
	}
	for _, ns := range b.namespaces {
		if s, ok := ns.index.Get(id); ok {
			return s.info(), nil
		}
	}
	return SocketInfo{}, &Error{
		Code:    CodeNotFound,
		Reason:  ReasonSocketNotFound,
		Message: fmt.Sprintf("no socket %q is connected", id),
	}
}

func (s *socket) info() SocketInfo {
	return SocketInfo{
		ID:          s.id,
		User:        s.user,
		Namespace:   s.ns.name,
		Rooms:       s.ns.index.RoomsOf(s),
		Address:     s.client.conn.RemoteAddress(),
		Transport:   s.client.conn.Transport(),
		ConnectTime: s.connectTime,
		Data:        s.shownData(),
	}
}

// ListNodes describes the nodes of the broker. It may be called concurrently.
func (b *Broker) ListNodes(context.Context) ([]NodeInfo, error) {
	return []NodeInfo{b.info()}, nil
}

// info describes this node.
func (b *Broker) info() NodeInfo {
	node := NodeInfo{ID: b.id, Version: b.opts.Version, Uptime: time.Since(b.started)}
	if b.draining.Load() {
		node.State = NodeDraining
	}
	for _, ns := range b.namespaces {
		sockets, rooms := ns.index.Len()
		node.Sockets += sockets
		node.Rooms += rooms
	}
	return node
}

func (b *Broker) countSockets() (n int) {
	for _, ns := range b.namespaces {
		sockets, _ := ns.index.Len()
		n += sockets
	}
	return n
}

// namespacesFor returns the namespaces that a listing covers, sorted.
func (b *Broker) namespacesFor(name string) ([]string, error) {
	if name == "" {
		return b.namespaceNames, nil
	}
	if _, err := b.namespace(name); err != nil {
		return nil, err
	}
	return []string{name}, nil
}

// The kinds of page tokens, so that one of another listing isn't mistaken.
const (
	pageOfRooms   = "rooms"
	pageOfSockets = "sockets"
)

// pageToken encodes where a page ends.
func pageToken(kind string, position ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + "\x00" + strings.Join(position, "\x00")))
}

// parse returns the page's size and the n parts of the position behind which
// it begins, which are empty for the first page.
func (p Page) parse(kind string, n int) (size int, after []string, err error) {
	var v violations
	size = p.Size
	if size == 0 {
		size = defaultPageSize
	}
	if size < 0 || size > maxPageSize {
		v.add("page_size", "%d is not between 1 and %d", size, maxPageSize)
	}
	after = make([]string, n)
	if p.Token != "" {
		raw, decodeErr := base64.RawURLEncoding.DecodeString(p.Token)
		parts := strings.Split(string(raw), "\x00")
		if decodeErr != nil || parts[0] != kind || len(parts) != n+1 {
			v.add("page_token", "is not one that this listing returned; leave it out for the first page")
		} else {
			after = parts[1:]
		}
	}
	return size, after, v.err()
}
