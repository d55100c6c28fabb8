package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/listcache"
	"github.com/salabroker/sala/broker/room"
	"github.com/salabroker/sala/broker/roomlist"
)

// A search takes a walk through everything: all rooms for the largest ones or for those
// that contain a text, many sockets for those of an address. So what a search has found
// is shared by all who look for the same, and a search takes place at most once in a
// while. Its walk goes slice by slice, and holds no lock for longer than a part of one.

const (
	// maxFoundRooms bounds the rooms that a search finds.
	maxFoundRooms = 10_000
	// A node looks at up to roomVisits rooms for a slice, of up to roomSlice rooms.
	roomSlice, roomVisits = 5_000, 50_000
	// socketVisits is how many sockets a node looks at for a page.
	socketVisits = 50_000
	// A search serves everybody for searchAge, or searchRest times as long as it took.
	searchAge, searchRest = 3 * time.Second, 50
)

// searches has what searches have found lately.
type searches struct {
	rooms   *listcache.Cache[foundRooms]
	sockets *listcache.Cache[SocketList]
}

// foundRooms is the list of rooms that a search has found.
type foundRooms struct {
	rooms     []roomlist.Room
	truncated bool
	PartialResult
}

func newSearches() searches {
	return searches{
		rooms: listcache.New(listcache.Options{
			MinAge: searchAge, Rest: searchRest, Keep: time.Minute, MaxLists: 100, MaxWeight: 20 * maxFoundRooms,
		}, func(f foundRooms) int { return len(f.rooms) }),
		sockets: listcache.New(listcache.Options{
			MinAge: searchAge, Rest: searchRest, Keep: searchAge, MaxLists: 100, MaxWeight: 10 * maxPageSize,
		}, func(l SocketList) int { return len(l.Sockets) }),
	}
}

// searchKey is the same for searches of the same.
func searchKey(query proto.Message) string {
	raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(query)
	return string(raw)
}

// searchRooms returns a page of the rooms that a search has found. Further pages come from
// the node that has the first one, and from the same list.
func (b *Broker) searchRooms(ctx context.Context, q RoomQuery) (RoomList, error) {
	size, after, err := q.Page.parse(pageOfRoomSearch, 3)
	if err != nil {
		return RoomList{}, err
	}
	var v violations
	validateQuery(&v, q.Query)
	if err := v.err(); err != nil {
		return RoomList{}, err
	}
	names, err := b.namespacesFor(q.Namespace)
	if err != nil {
		return RoomList{}, err
	}
	read := &wire.ReadRoomList{
		Query: &wire.ListRooms{
			Namespaces: names, Prefix: q.Prefix, Within: areasToWire(q.Within), Query: strings.ToLower(q.Query),
		},
		BySockets: q.BySockets,
	}
	if q.Page.Token != "" {
		return b.nextFoundRooms(ctx, read, size, after)
	}
	list, err := b.searches.rooms.Newest(ctx, searchKey(read), func(ctx context.Context) foundRooms {
		return b.findRooms(ctx, read)
	})
	if err != nil {
		return RoomList{}, err
	}
	read.Number, read.Limit = list.Number, uint32(size) //nolint:gosec // at most maxPageSize
	return foundRoomsPage(b.id, read, pageOfFound(list, read)), nil
}

// nextFoundRooms returns a further page: node, number and offset are what its token says.
func (b *Broker) nextFoundRooms(ctx context.Context, read *wire.ReadRoomList, size int, after []string) (RoomList, error) {
	node := after[0]
	number, numberErr := strconv.ParseUint(after[1], 10, 64)
	offset, offsetErr := strconv.ParseUint(after[2], 10, 32)
	if numberErr != nil || offsetErr != nil {
		return RoomList{}, violations{{Field: "page_token", Description: foreignPage}}.err()
	}
	expired := &Error{
		Code: CodeFailedPrecondition, Reason: ReasonPageExpired,
		Message: "the list that this page is of isn't kept any more; begin with the first page again",
	}
	read.Number, read.Offset, read.Limit = number, uint32(offset), uint32(size) //nolint:gosec // parsed as 32 bits, and at most maxPageSize
	var page *wire.RoomListPage
	switch {
	case node == b.id:
		page = b.readRoomList(read)
	case b.mesh == nil:
		return RoomList{}, expired
	default:
		page = &wire.RoomListPage{}
		if err := b.callNode(ctx, cluster.NodeID(node), &wire.Op{Op: &wire.Op_ReadRoomList{ReadRoomList: read}}, page, expired); err != nil {
			return RoomList{}, err
		}
	}
	if !page.GetFound() {
		return RoomList{}, expired
	}
	return foundRoomsPage(node, read, page), nil
}

// readRoomList returns a page of a list that this node keeps.
func (b *Broker) readRoomList(q *wire.ReadRoomList) *wire.RoomListPage {
	key := &wire.ReadRoomList{Query: q.GetQuery(), BySockets: q.GetBySockets()}
	list, ok := b.searches.rooms.Get(searchKey(key), q.GetNumber())
	if !ok {
		return &wire.RoomListPage{}
	}
	return pageOfFound(list, q)
}

// pageOfFound returns a page of a list.
func pageOfFound(list listcache.List[foundRooms], q *wire.ReadRoomList) *wire.RoomListPage {
	found := list.Value
	begin := min(int(q.GetOffset()), len(found.rooms))
	end := min(begin+int(q.GetLimit()), len(found.rooms))
	page := &wire.RoomListPage{
		Found: true, More: end < len(found.rooms), Truncated: found.truncated, MadeUnixNs: list.Made.UnixNano(),
		Partial: found.Partial, MissingNodes: found.Missing,
	}
	for _, r := range found.rooms[begin:end] {
		page.Rooms = append(page.Rooms, &wire.Room{Namespace: r.Namespace, Name: r.Name, Sockets: uint32(r.Sockets)}) //nolint:gosec // bounded by file descriptors
	}
	return page
}

// foundRoomsPage returns the page of a list that a node keeps, as the call shows it.
func foundRoomsPage(node string, q *wire.ReadRoomList, page *wire.RoomListPage) RoomList {
	list := RoomList{
		Truncated: page.GetTruncated(), Made: time.Unix(0, page.GetMadeUnixNs()),
		PartialResult: PartialResult{Partial: page.GetPartial(), Missing: page.GetMissingNodes()},
	}
	for _, r := range page.GetRooms() {
		list.Rooms = append(list.Rooms, RoomInfo{Namespace: r.GetNamespace(), Name: r.GetName(), Sockets: int(r.GetSockets())})
	}
	if page.GetMore() {
		list.Next = pageToken(pageOfRoomSearch, node, fmt.Sprint(q.GetNumber()), fmt.Sprint(int(q.GetOffset())+len(list.Rooms)))
	}
	return list
}

// findRooms walks through the rooms of all nodes.
func (b *Broker) findRooms(ctx context.Context, q *wire.ReadRoomList) foundRooms {
	var found foundRooms
	sources := map[string]roomlist.Source{b.id: func(_ context.Context, after roomlist.Place) (roomlist.Slice, error) {
		query := roomSliceQuery(q.GetQuery(), after)
		return roomSliceFrom(query, b.localRooms(query)), nil
	}}
	nodes, partial := b.otherNodes(ctx)
	found.PartialResult = partial
	for _, node := range nodes {
		sources[string(node)] = func(ctx context.Context, after roomlist.Place) (roomlist.Slice, error) {
			query, reply := roomSliceQuery(q.GetQuery(), after), &wire.Rooms{}
			if err := b.callNode(ctx, node, &wire.Op{Op: &wire.Op_ListRooms{ListRooms: query}}, reply, errNodeGone); err != nil {
				return roomlist.Slice{}, err
			}
			return roomSliceFrom(query, reply), nil
		}
	}
	list := roomlist.Collect(ctx, sources, roomlist.Options{BySockets: q.GetBySockets(), Max: maxFoundRooms})
	found.rooms, found.truncated = list.Rooms, list.Truncated
	found.miss(list.Missing...)
	return found
}

// errNodeGone is the error of a node that leaves while it is asked.
var errNodeGone = &Error{Code: CodeUnavailable, Reason: ReasonNodeUnavailable, Message: "the node is gone"}

// roomSliceQuery asks for the slice of rooms after a place.
func roomSliceQuery(search *wire.ListRooms, after roomlist.Place) *wire.ListRooms {
	query := proto.CloneOf(search)
	query.AfterNamespace, query.AfterName = after.Namespace, after.Name
	query.Limit, query.Visits = roomSlice, roomVisits
	return query
}

// roomSliceFrom returns the slice of rooms that a node answers with. A node of an earlier
// release answers with rooms that don't match, and names no place at which it has stopped.
func roomSliceFrom(q *wire.ListRooms, reply *wire.Rooms) roomlist.Slice {
	rooms, stopped := reply.GetRooms(), reply.GetStopped()
	slice := roomlist.Slice{More: stopped != nil, At: roomlist.Place{Namespace: stopped.GetNamespace(), Name: stopped.GetName()}}
	if n := len(rooms); stopped == nil && n >= int(q.GetLimit()) {
		slice.More, slice.At = true, roomlist.Place{Namespace: rooms[n-1].GetNamespace(), Name: rooms[n-1].GetName()}
	}
	for _, r := range rooms {
		if nameContains(r.GetName(), q.GetQuery()) {
			slice.Rooms = append(slice.Rooms, roomlist.Room{
				Place: roomlist.Place{Namespace: r.GetNamespace(), Name: r.GetName()}, Sockets: int(r.GetSockets()),
			})
		}
	}
	return slice
}

// searchSockets returns a page of the sockets that a search finds.
func (b *Broker) searchSockets(ctx context.Context, query *wire.ListSockets) (SocketList, error) {
	list, err := b.searches.sockets.Newest(ctx, searchKey(query), func(ctx context.Context) SocketList {
		return b.findSockets(ctx, query)
	})
	return list.Value, err
}

// findSockets looks for a page of sockets at all nodes. A node may stop before it has
// found a whole page. What the others have found beyond that is left for the next page.
func (b *Broker) findSockets(ctx context.Context, q *wire.ListSockets) SocketList {
	replies, partial := callAll[wire.Sockets](ctx, b, &wire.Op{Op: &wire.Op_ListSockets{ListSockets: q}})
	list, stopped := SocketList{PartialResult: partial}, ""
	for _, reply := range append(replies, b.findLocalSockets(q)) {
		found := socketsFromWire(reply)
		list.Sockets = append(list.Sockets, found...)
		at := reply.GetStopped()
		if n := len(found); at == "" && n >= int(q.GetLimit()) {
			at = found[n-1].ID
		}
		stopped = earlierStop(stopped, at)
	}
	list.Sockets = slices.DeleteFunc(list.Sockets, func(s SocketInfo) bool {
		return stopped != "" && s.ID > stopped || !isFound(&s, q.GetQuery()) // a node of an earlier release knows no query
	})
	sortSockets(list.Sockets)
	if size := int(q.GetLimit()) - 1; len(list.Sockets) > size {
		list.Sockets = list.Sockets[:size]
		stopped = list.Sockets[size-1].ID
	}
	if stopped != "" {
		list.Next = pageToken(pageOfSockets, stopped)
	}
	return list
}

// earlierStop returns the id at which the first of two walks has stopped; empty for a
// walk that has come to its end.
func earlierStop(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return min(a, b)
}

func isFound(s *SocketInfo, query string) bool {
	return strings.HasPrefix(s.User, query) || strings.HasPrefix(s.ID, query) || strings.HasPrefix(s.Address, query)
}

// findLocalSockets returns a page of the sockets of this node that a search finds.
func (b *Broker) findLocalSockets(q *wire.ListSockets) *wire.Sockets {
	visits := &visitCount{most: int(q.GetVisits())}
	keep := func(s *socket) bool {
		visits.visited++
		matches := strings.HasPrefix(s.user, q.GetQuery()) || strings.HasPrefix(s.id, q.GetQuery()) || strings.HasPrefix(s.address(), q.GetQuery())
		return matches && !s.isShadow() // its node lists it
	}
	var found []*socket
	stopped := ""
	for _, name := range q.GetNamespaces() {
		if ns, ok := b.namespaces[name]; ok {
			f := room.Filter{Room: q.GetRoom(), User: q.GetUser()}
			sockets, at := ns.index.WalkMembers(f, q.GetAfter(), int(q.GetLimit()), visits.left(), keep)
			found, stopped = append(found, sockets...), earlierStop(stopped, at)
		}
	}
	found = slices.DeleteFunc(found, func(s *socket) bool { return stopped != "" && s.id > stopped })
	sortByID(found)
	if len(found) >= int(q.GetLimit()) {
		found, stopped = found[:q.GetLimit()], ""
	}
	infos := make([]SocketInfo, len(found))
	for i, s := range found {
		infos[i] = s.info()
	}
	list := socketsToWire(infos)
	list.Stopped = stopped
	return list
}
