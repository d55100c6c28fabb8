package broker

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// Limits of a page.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// RoomList is a page of rooms.
type RoomList struct {
	// Rooms are ordered by namespace and name.
	Rooms []RoomInfo
	// Next is the token of the next page, empty on the last one.
	Next string
	Coverage
}

// SocketList is a page of sockets.
type SocketList struct {
	// Sockets are ordered by id.
	Sockets []SocketInfo
	// Next is the token of the next page, empty on the last one.
	Next string
	Coverage
}

// NodeList is the nodes of the broker, ordered by id.
type NodeList struct {
	Nodes []NodeInfo
	Coverage
}

// ListRooms lists rooms. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) ListRooms(ctx context.Context, q RoomQuery) (RoomList, error) {
	size, after, err := q.Page.parse(pageOfRooms, 2)
	if err != nil {
		return RoomList{}, err
	}
	names, err := b.namespacesFor(q.Namespace)
	if err != nil {
		return RoomList{}, err
	}
	// One more than fits says whether there is a next page. What is on the page
	// is on the page of every node that has it.
	query := &wire.ListRooms{
		Namespaces: names, Prefix: q.Prefix, AfterNamespace: after[0], AfterName: after[1], Limit: uint32(size + 1), //nolint:gosec // at most maxPageSize
		Within: areasTo(q.Within),
	}
	var list RoomList
	lists := [][]*wire.Room{b.roomsHere(query)}
	if b.mesh != nil {
		r, err := b.ask(ctx, &wire.Query{Query: &wire.Query_ListRooms{ListRooms: query}})
		list.Coverage = b.coverage(r, err)
		answers, unread := answersOf[wire.Rooms](r)
		list.Coverage.without(unread)
		for _, answer := range answers {
			lists = append(lists, answer.GetRooms())
		}
	}
	list.Rooms = mergeRooms(lists...)
	if len(list.Rooms) > size {
		list.Rooms = list.Rooms[:size]
		last := list.Rooms[size-1]
		list.Next = pageToken(pageOfRooms, last.Namespace, last.Name)
	}
	return list, nil
}

// GetRoom counts a room's members. The error is a *[Error], with CodeNotFound
// if nobody is in the room. It may be called concurrently.
func (b *Broker) GetRoom(ctx context.Context, namespace, room string) (RoomInfo, error) {
	var v violations
	validateRoom(&v, "room", room)
	if err := v.err(); err != nil {
		return RoomInfo{}, err
	}
	ns, err := b.namespace(namespace)
	if err != nil {
		return RoomInfo{}, err
	}
	query := &wire.GetRoom{Namespace: ns.name, Room: room}
	info := RoomInfo{Name: room, Namespace: ns.name}
	info.Sockets, info.Users = ns.index.Room(room)
	if b.mesh != nil {
		r, err := b.ask(ctx, &wire.Query{Query: &wire.Query_GetRoom{GetRoom: query}})
		info.Coverage = b.coverage(r, err)
		answers, unread := answersOf[wire.Members](r)
		info.Coverage.without(unread)
		if slices.ContainsFunc(answers, func(m *wire.Members) bool { return m.GetSockets() > 0 }) {
			info.Sockets, info.Users = countMembers(append(answers, b.membersHere(query)))
		}
	}
	switch {
	case info.Sockets > 0:
		return info, nil
	case info.Partial:
		return RoomInfo{}, &Error{
			Code:    CodeUnavailable,
			Reason:  ReasonNodeUnavailable,
			Message: fmt.Sprintf("nobody is in the room %q on the nodes that answer, but not all do; try again in a moment", room),
		}
	}
	return RoomInfo{}, &Error{
		Code:    CodeNotFound,
		Reason:  ReasonRoomNotFound,
		Message: fmt.Sprintf("nobody is in the room %q of the namespace %q", room, ns.name),
	}
}

// ListSockets lists sockets. It may be called concurrently; the error is a
// *[Error].
func (b *Broker) ListSockets(ctx context.Context, q SocketQuery) (SocketList, error) {
	size, after, err := q.Page.parse(pageOfSockets, 1)
	if err != nil {
		return SocketList{}, err
	}
	names, err := b.namespacesFor(q.Namespace)
	if err != nil {
		return SocketList{}, err
	}
	if len(q.Within) > 0 {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(q.Within, name) })
	}
	query := &wire.ListSockets{
		Namespaces: names, Room: q.Room, User: q.User, After: after[0], Limit: uint32(size + 1), //nolint:gosec // at most maxPageSize
	}
	list := SocketList{Sockets: b.socketsHere(query)}
	if b.mesh != nil {
		r, err := b.ask(ctx, &wire.Query{Query: &wire.Query_ListSockets{ListSockets: query}})
		list.Coverage = b.coverage(r, err)
		answers, unread := answersOf[wire.Sockets](r)
		list.Coverage.without(unread)
		for _, answer := range answers {
			list.Sockets = append(list.Sockets, socketsFrom(answer)...)
		}
		sortSockets(list.Sockets)
	}
	if len(list.Sockets) > size {
		list.Sockets = list.Sockets[:size]
		list.Next = pageToken(pageOfSockets, list.Sockets[size-1].ID)
	}
	return list, nil
}

// GetSocket describes a socket. The error is a *[Error], with CodeNotFound if
// it isn't connected, and CodeUnavailable if its node doesn't answer. It may be
// called concurrently.
func (b *Broker) GetSocket(ctx context.Context, id string) (SocketInfo, error) {
	var v violations
	validateID(&v, "id", id)
	if err := v.err(); err != nil {
		return SocketInfo{}, err
	}
	if s, ok := b.socketHere(id); ok {
		return s, nil
	}
	notFound := &Error{
		Code:    CodeNotFound,
		Reason:  ReasonSocketNotFound,
		Message: fmt.Sprintf("no socket %q is connected", id),
	}
	owner := ownerOf(id)
	if b.mesh == nil || string(owner) == b.id {
		return SocketInfo{}, notFound
	}
	var found wire.Sockets
	query := &wire.Query{Query: &wire.Query_GetSocket{GetSocket: &wire.GetSocket{Id: id}}}
	if err := b.askNode(ctx, owner, query, &found, notFound); err != nil {
		return SocketInfo{}, err
	}
	if sockets := socketsFrom(&found); len(sockets) > 0 {
		return sockets[0], nil
	}
	return SocketInfo{}, notFound
}

func (s *socket) info() SocketInfo {
	return SocketInfo{
		ID:          s.id,
		User:        s.user,
		Namespace:   s.ns.name,
		Node:        string(ownerOf(s.id)),
		Rooms:       s.ns.index.RoomsOf(s),
		Address:     s.client.conn.RemoteAddress(),
		Transport:   s.client.conn.Transport(),
		ConnectTime: s.connectTime,
		Data:        s.shownData(),
	}
}

// ListNodes describes the nodes of the broker, the others as they said last. It
// may be called concurrently.
func (b *Broker) ListNodes(ctx context.Context) (NodeList, error) {
	list := NodeList{Nodes: []NodeInfo{b.info()}}
	if b.mesh != nil {
		ctx, cancel := forOthers(ctx, queryTimeout)
		defer cancel()
		list.Partial = !b.acquainted(ctx)
		for _, other := range b.mesh.Nodes()[1:] {
			list.Nodes = append(list.Nodes, infoOf(other))
			if list.Partial { // as it was when it could be heard last
				list.Missing = append(list.Missing, string(other.ID))
			}
		}
		for _, id := range b.mesh.Refused() {
			if !slices.Contains(list.Missing, string(id)) {
				list.without([]string{string(id)})
			}
		}
		slices.SortFunc(list.Nodes, func(a, b NodeInfo) int { return strings.Compare(a.ID, b.ID) })
	}
	return list, nil
}

// infoOf describes another node.
func infoOf(n cluster.Node) NodeInfo {
	info := NodeInfo{
		ID: string(n.ID), Version: n.Version, Sockets: int(n.Sockets), Rooms: int(n.Rooms), Uptime: time.Since(n.Started),
	}
	if n.Draining {
		info.State = NodeDraining
	}
	return info
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
		if decodeErr != nil || !utf8.Valid(raw) || parts[0] != kind || len(parts) != n+1 {
			v.add("page_token", "is not one that this listing returned; leave it out for the first page")
		} else {
			after = parts[1:]
		}
	}
	return size, after, v.err()
}
