package broker

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/room"
)

// RoomQuery says which rooms [Broker.ListRooms] lists.
type RoomQuery struct {
	// Namespace limits the list to one namespace; empty means all.
	Namespace string
	// Prefix limits the list to rooms whose name begins with it.
	Prefix string
	// Query limits the list to rooms whose name contains it, whatever the case.
	Query string
	// BySockets lists the rooms with the most sockets first.
	BySockets bool
	// Within limits the list to rooms in one of these areas; none means all.
	Within []room.Area
	Page   Page
}

// RoomInfo is the size of a room.
type RoomInfo struct {
	Name, Namespace string
	// Sockets is the number of sockets in the room.
	Sockets int
	// Users is the number of different users; only from GetRoom.
	Users int
	// PartialResult is only from GetRoom; a list has its own.
	PartialResult
}

// RoomList is a page of rooms.
type RoomList struct {
	// Rooms are ordered by namespace and name, or by the number of sockets.
	Rooms []RoomInfo
	// Next is the token of the next page; empty on the last one.
	Next string
	// Truncated says that more rooms match than the list of a search has.
	Truncated bool
	// Made is when the list of a search was made; zero for other lists.
	Made time.Time
	PartialResult
}

// ListRooms lists rooms. A list by sockets or with a query is a search: it may be a few
// seconds old, and all of its pages are. ListRooms may be called concurrently; the error
// is a *[Error], with CodeFailedPrecondition if the page of a search is kept no longer.
func (b *Broker) ListRooms(ctx context.Context, q RoomQuery) (RoomList, error) {
	if q.Query != "" || q.BySockets {
		return b.searchRooms(ctx, q)
	}
	size, after, err := q.Page.parse(pageOfRooms, 2)
	if err != nil {
		return RoomList{}, err
	}
	names, err := b.namespacesFor(q.Namespace)
	if err != nil {
		return RoomList{}, err
	}
	// One entry more than the page has says whether there is a next page. An entry of
	// the page is on the page of every node that has it.
	query := &wire.ListRooms{
		Namespaces: names, Prefix: q.Prefix, AfterNamespace: after[0], AfterName: after[1], Limit: uint32(size + 1), //nolint:gosec // at most maxPageSize
		Within: areasToWire(q.Within),
	}
	var list RoomList
	lists := [][]*wire.Room{b.localRooms(query).GetRooms()}
	replies, partial := callAll[wire.Rooms](ctx, b, &wire.Op{Op: &wire.Op_ListRooms{ListRooms: query}})
	list.PartialResult = partial
	for _, answer := range replies {
		lists = append(lists, answer.GetRooms())
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
	replies, partial := callAll[wire.Members](ctx, b, &wire.Op{Op: &wire.Op_GetRoom{GetRoom: query}})
	info.PartialResult = partial
	if slices.ContainsFunc(replies, func(m *wire.Members) bool { return m.GetSockets() > 0 }) {
		info.Sockets, info.Users = countMembers(append(replies, b.localMembers(query)))
	}
	switch {
	case info.Sockets > 0:
		return info, nil
	case info.Partial:
		return RoomInfo{}, &Error{
			Code:    CodeUnavailable,
			Reason:  ReasonNodeUnavailable,
			Message: fmt.Sprintf("the nodes that answered have nobody in the room %q, but not all have answered; try again in a moment", room),
		}
	}
	return RoomInfo{}, &Error{
		Code:    CodeNotFound,
		Reason:  ReasonRoomNotFound,
		Message: fmt.Sprintf("nobody is in the room %q of the namespace %q", room, ns.name),
	}
}

// localRooms returns a page of the rooms that have members on this node.
func (b *Broker) localRooms(q *wire.ListRooms) *wire.Rooms {
	list := &wire.Rooms{}
	limit, within, visits := int(q.GetLimit()), areasFromWire(q.GetWithin()), &visitCount{most: int(q.GetVisits())}
	for _, name := range q.GetNamespaces() {
		ns, ok := b.namespaces[name]
		if !ok || name < q.GetAfterNamespace() || len(list.Rooms) >= limit || list.Stopped != nil {
			continue
		}
		after := ""
		if name == q.GetAfterNamespace() {
			after = q.GetAfterName()
		}
		rooms, stopped := ns.roomsWithin(within, q, after, limit-len(list.Rooms), visits)
		for _, r := range rooms {
			list.Rooms = append(list.Rooms, &wire.Room{Namespace: name, Name: r.Name, Sockets: uint32(r.Members)}) //nolint:gosec // bounded by file descriptors
		}
		if stopped != "" {
			list.Stopped = &wire.RoomPlace{Namespace: name, Name: stopped}
		}
	}
	return list
}

// visitCount counts what a walk visits.
type visitCount struct {
	most    int // zero for no bound
	visited int
}

// left returns how much the walk may visit. It is never nothing, so that a walk gets on.
func (c *visitCount) left() int {
	if c.most == 0 {
		return math.MaxInt
	}
	return max(c.most-c.visited, 1)
}

// roomsWithin returns a page of the rooms in the areas; no areas mean all rooms. It
// looks only at rooms that begin like one of the areas' patterns. If it stops because
// of the visits, it says after which room.
func (ns *namespace) roomsWithin(areas []room.Area, q *wire.ListRooms, after string, limit int, visits *visitCount) (rooms []room.Size, stopped string) {
	starts := []string{q.GetPrefix()}
	if len(areas) > 0 {
		starts = room.Prefixes(areas, ns.name, q.GetPrefix())
	}
	var keep func(string) bool
	if len(areas) > 0 || q.GetQuery() != "" {
		keep = func(name string) bool {
			visits.visited++
			return (len(areas) == 0 || room.InAreas(areas, ns.name, name)) && nameContains(name, q.GetQuery())
		}
	}
	for _, start := range starts {
		var found []room.Size
		found, stopped = ns.index.WalkRooms(start, after, limit-len(rooms), visits.left(), keep)
		rooms = append(rooms, found...)
		if stopped != "" {
			break
		}
	}
	return rooms, stopped
}

// nameContains reports whether the name of a room contains a query in lower case.
func nameContains(name, query string) bool {
	return query == "" || strings.Contains(strings.ToLower(name), query)
}

func areasToWire(areas []room.Area) []*wire.RoomArea {
	var out []*wire.RoomArea
	for _, a := range areas {
		out = append(out, &wire.RoomArea{Namespace: a.Namespace, Pattern: string(a.Rooms)})
	}
	return out
}

func areasFromWire(areas []*wire.RoomArea) []room.Area {
	var out []room.Area
	for _, a := range areas {
		out = append(out, room.Area{Namespace: a.GetNamespace(), Rooms: room.Pattern(a.GetPattern())})
	}
	return out
}

// mergeRooms merges the lists of several nodes into one, in order, and adds up the
// members of each room.
func mergeRooms(lists ...[]*wire.Room) []RoomInfo {
	type key struct{ namespace, name string }
	sizes := make(map[key]int)
	for _, list := range lists {
		for _, r := range list {
			sizes[key{r.GetNamespace(), r.GetName()}] += int(r.GetSockets())
		}
	}
	rooms := make([]RoomInfo, 0, len(sizes))
	for k, n := range sizes {
		rooms = append(rooms, RoomInfo{Namespace: k.namespace, Name: k.name, Sockets: n})
	}
	slices.SortFunc(rooms, func(a, b RoomInfo) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return rooms
}

// localMembers counts the members of a room on this node.
func (b *Broker) localMembers(q *wire.GetRoom) *wire.Members {
	ns, ok := b.namespaces[q.GetNamespace()]
	if !ok {
		return &wire.Members{}
	}
	sockets := ns.index.InRoom(q.GetRoom())
	m := &wire.Members{Sockets: uint32(len(sockets)), Users: make([]uint64, len(sockets))} //nolint:gosec // bounded by file descriptors
	for i, s := range sockets {
		m.Users[i] = hashOf(s.user)
	}
	slices.Sort(m.Users)
	m.Users = slices.Compact(m.Users)
	return m
}

// countMembers adds up the members of a room on several nodes. A user with sockets on
// several of them counts once.
func countMembers(parts []*wire.Members) (sockets, users int) {
	var all []uint64
	for _, part := range parts {
		sockets += int(part.GetSockets())
		all = append(all, part.GetUsers()...)
	}
	slices.Sort(all)
	return sockets, len(slices.Compact(all))
}

func hashOf(user string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(user)) // never fails
	return h.Sum64()
}
