package broker

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
	"github.com/salabroker/sala/broker/room"
)

// Page selects a page of a list.
type Page struct {
	// Size bounds the entries of the page; zero means 100.
	Size int
	// Token is the Next of the previous page; empty for the first page.
	Token string
}

// Limits of a page.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// The kinds of page tokens, so that the token of another list is refused.
const (
	pageOfRooms      = "rooms"
	pageOfRoomSearch = "found rooms"
	pageOfSockets    = "sockets"
	pageOfUsers      = "users"
)

// pageToken encodes the position at which a page ends.
func pageToken(kind string, position ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + "\x00" + strings.Join(position, "\x00")))
}

// parse returns the page's size and the n parts of the position after which it
// begins. They are empty for the first page.
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
			v.add("page_token", foreignPage)
		} else {
			after = parts[1:]
		}
	}
	return size, after, v.err()
}

const foreignPage = "is not a token of this list; leave it out for the first page"

// maxQueryBytes is the longest text that a list can be searched for. No name is longer.
const maxQueryBytes = 255

func validateQuery(v *violations, query string) {
	if len(query) > maxQueryBytes {
		v.add("query", "has %d bytes; at most %d are allowed", len(query), maxQueryBytes)
	}
}

// namespacesFor returns the namespaces that a list covers, sorted.
func (b *Broker) namespacesFor(name string) ([]string, error) {
	if name == "" {
		return b.namespaceNames, nil
	}
	if _, err := b.namespace(name); err != nil {
		return nil, err
	}
	return []string{name}, nil
}

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

// SocketQuery says which sockets [Broker.ListSockets] lists: those that match all
// fields that are set.
type SocketQuery struct {
	Namespace, Room, User string
	// Query limits the list to sockets whose user, id or address begins with it.
	Query string
	// Within limits the list to these namespaces; none means all.
	Within []string
	Page   Page
}

// SocketInfo describes a socket that is connected, or away with a session.
type SocketInfo = eventhub.Socket

// SocketList is a page of sockets.
type SocketList struct {
	// Sockets are ordered by id.
	Sockets []SocketInfo
	// Next is the token of the next page; empty on the last one.
	Next string
	PartialResult
}

// ListSockets lists sockets. A page with a query may be a few seconds old, and have
// fewer sockets than its size although more follow. ListSockets may be called
// concurrently; the error is a *[Error].
func (b *Broker) ListSockets(ctx context.Context, q SocketQuery) (SocketList, error) {
	size, after, err := q.Page.parse(pageOfSockets, 1)
	if err != nil {
		return SocketList{}, err
	}
	var v violations
	validateQuery(&v, q.Query)
	if err := v.err(); err != nil {
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
	if q.Query != "" {
		query.Query, query.Visits = q.Query, socketVisits
		return b.searchSockets(ctx, query)
	}
	list := SocketList{Sockets: b.localSockets(query)}
	replies, partial := callAll[wire.Sockets](ctx, b, &wire.Op{Op: &wire.Op_ListSockets{ListSockets: query}})
	list.PartialResult = partial
	for _, answer := range replies {
		list.Sockets = append(list.Sockets, socketsFromWire(answer)...)
	}
	sortSockets(list.Sockets)
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
	if s, ok := b.localSocket(id); ok {
		return s, nil
	}
	notFound := &Error{
		Code:    CodeNotFound,
		Reason:  ReasonSocketNotFound,
		Message: fmt.Sprintf("no socket %q is connected", id),
	}
	owner := cluster.OwnerOf(id)
	if b.mesh != nil && string(owner) == b.id {
		owner = b.movedSockets.get(id)
	}
	if b.mesh == nil || owner == "" {
		return SocketInfo{}, notFound
	}
	op := &wire.Op{Op: &wire.Op_GetSocket{GetSocket: &wire.GetSocket{Id: id}}}
	if b.recovery == nil || b.mesh.HasNode(owner) {
		var found wire.Sockets
		if err := b.callNode(ctx, owner, op, &found, notFound); err != nil {
			return SocketInfo{}, err
		}
		if sockets := socketsFromWire(&found); len(sockets) > 0 {
			return sockets[0], nil
		}
		if b.recovery == nil {
			return SocketInfo{}, notFound
		}
	}
	return b.findSocket(ctx, op, notFound)
}

// findSocket asks all nodes for a socket that isn't where its id says.
func (b *Broker) findSocket(ctx context.Context, op *wire.Op, notFound *Error) (SocketInfo, error) {
	replies, partial := callAll[wire.Sockets](ctx, b, op)
	for _, reply := range replies {
		if sockets := socketsFromWire(reply); len(sockets) > 0 {
			return sockets[0], nil
		}
	}
	if partial.Partial {
		return SocketInfo{}, &Error{
			Code: CodeUnavailable, Reason: ReasonNodeUnavailable, Message: "not all nodes answer, and one of them may have the socket; try again in a moment",
		}
	}
	return SocketInfo{}, notFound
}

// localSockets returns a page of the sockets of this node.
func (b *Broker) localSockets(q *wire.ListSockets) []SocketInfo {
	var found []*socket
	for _, name := range q.GetNamespaces() {
		if ns, ok := b.namespaces[name]; ok {
			f := room.Filter{Room: q.GetRoom(), User: q.GetUser()}
			found = append(found, ns.index.Members(f, q.GetAfter(), int(q.GetLimit()))...)
			found = slices.DeleteFunc(found, (*socket).isShadow) // its node lists it
		}
	}
	sortByID(found)
	found = found[:min(len(found), int(q.GetLimit()))]
	infos := make([]SocketInfo, len(found))
	for i, s := range found {
		infos[i] = s.info()
	}
	return infos
}

func sortByID(sockets []*socket) {
	slices.SortFunc(sockets, func(a, b *socket) int { return cmp.Compare(a.id, b.id) })
}

func sortSockets(sockets []SocketInfo) {
	slices.SortFunc(sockets, func(a, b SocketInfo) int { return cmp.Compare(a.ID, b.ID) })
}

func (b *Broker) localSocket(id string) (SocketInfo, bool) {
	for _, ns := range b.namespaces {
		if s, ok := ns.index.Get(id); ok && !s.isShadow() {
			return s.info(), true
		}
	}
	return SocketInfo{}, false
}

// info describes the socket for lists.
func (s *socket) info() SocketInfo {
	info := *s.describe()
	info.Rooms, info.Auth, info.Session = s.ns.index.RoomsOf(s), nil, s.describeKept()
	return info
}

// describeKept describes what the node keeps for the socket's client; nil if it has no
// session.
func (s *socket) describeKept() *eventhub.Session {
	x := s.session
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	kept := &eventhub.Session{Events: x.backlog.Len(), Bytes: x.backlog.Bytes(), Complete: x.backlog.Complete() && !x.missesMessages(s.b) && !x.over}
	if s.client.Load() == nil && !x.over {
		kept.AwaySince, kept.AwayReason, kept.Expires = x.lost, x.why, x.deadline
	}
	return kept
}

func socketsToWire(sockets []SocketInfo) *wire.Sockets {
	list := &wire.Sockets{Sockets: make([]*wire.Socket, len(sockets))}
	for i := range sockets {
		list.Sockets[i] = socketwire.To(&sockets[i])
	}
	return list
}

func socketsFromWire(list *wire.Sockets) []SocketInfo {
	sockets := make([]SocketInfo, len(list.GetSockets()))
	for i, s := range list.GetSockets() {
		sockets[i] = *socketwire.From(s)
	}
	return sockets
}

// NodeState says whether a node takes connections.
type NodeState uint8

// The states of a node.
const (
	// NodeActive is a node that takes connections.
	NodeActive NodeState = iota
	// NodeDraining is a node that sends its clients away.
	NodeDraining
)

// NodeInfo describes a node.
type NodeInfo struct {
	ID, Version    string
	Sockets, Rooms int
	State          NodeState
	Uptime         time.Duration
}

// NodeList is the list of nodes, ordered by id.
type NodeList struct {
	Nodes []NodeInfo
	PartialResult
}

// ListNodes lists the nodes. It describes the others as they last announced
// themselves. It may be called concurrently.
func (b *Broker) ListNodes(ctx context.Context) (NodeList, error) {
	list := NodeList{Nodes: []NodeInfo{b.info()}}
	if b.mesh != nil {
		ctx, cancel := context.WithTimeout(ctx, waitAtMost(ctx, callTimeout))
		defer cancel()
		list.Partial = !b.knowsNodes(ctx)
		for _, other := range b.mesh.Nodes()[1:] {
			list.Nodes = append(list.Nodes, infoOf(other))
			if list.Partial { // its description is old
				list.Missing = append(list.Missing, string(other.ID))
			}
		}
		for _, id := range b.mesh.ClockSkewed() {
			if !slices.Contains(list.Missing, string(id)) {
				list.miss(string(id))
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
