package broker

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/revocation"
	"github.com/salabroker/sala/broker/room"
)

// ask asks all other nodes.
func (b *Broker) ask(ctx context.Context, q *wire.Query) (cluster.Result, error) {
	ctx, cancel := forOthers(ctx, queryTimeout)
	defer cancel()
	if !b.acquainted(ctx) {
		return cluster.Result{}, cluster.ErrUnavailable
	}
	return b.mesh.CallAll(ctx, encode(q))
}

// acquainted reports whether the node knows who else is there. It waits for a node
// that has just found the cluster, and not for one that can't reach it.
func (b *Broker) acquainted(ctx context.Context) bool {
	if b.Isolated() {
		return false
	}
	select {
	case <-b.mesh.Ready():
		return true
	case <-ctx.Done():
		return false
	}
}

// askNode asks one other node. The error is a *[Error]: notFound if the node
// isn't there, or says that it doesn't answer.
func (b *Broker) askNode(ctx context.Context, node cluster.NodeID, q *wire.Query, into proto.Message, notFound *Error) error {
	unavailable := &Error{Code: CodeUnavailable, Reason: ReasonNodeUnavailable, Message: "the node " + string(node) + " doesn't answer; try again in a moment"}
	ctx, cancel := forOthers(ctx, queryTimeout)
	defer cancel()
	if !b.acquainted(ctx) {
		unavailable.Message = "this node can't reach the others at the moment; try again later"
		return unavailable
	}
	if !b.mesh.Has(node) {
		if slices.Contains(b.mesh.Refused(), node) {
			unavailable.Message = "the node " + string(node) + " can't be heard, as its clock and this one's differ too much; set them"
			return unavailable
		}
		return notFound
	}
	r, err := b.mesh.Call(ctx, []cluster.NodeID{node}, encode(q))
	if err != nil || len(r.Replies) == 0 || r.Replies[0].Err != nil {
		return unavailable
	}
	if into == nil {
		return nil
	}
	if err := proto.Unmarshal(r.Replies[0].Payload, into); err != nil {
		return &Error{Code: CodeInternal, Reason: ReasonNodesDiffer, Message: "the answer of the node " + string(node) + " can't be read; do all run the same release?"}
	}
	return nil
}

// answerQuery answers what another node asks.
func (b *Broker) answerQuery(ctx context.Context, from cluster.NodeID, q *wire.Query) (proto.Message, error) {
	switch q := q.GetQuery().(type) {
	case *wire.Query_ListRooms:
		return &wire.Rooms{Rooms: b.roomsHere(q.ListRooms)}, nil
	case *wire.Query_GetRoom:
		return b.membersHere(q.GetRoom), nil
	case *wire.Query_ListSockets:
		return socketsTo(b.socketsHere(q.ListSockets)), nil
	case *wire.Query_GetSocket:
		if s, ok := b.socketHere(q.GetSocket.GetId()); ok {
			return socketsTo([]SocketInfo{s}), nil
		}
		return &wire.Sockets{}, nil
	case *wire.Query_Order:
		return b.obey(q.Order, waitAtMost(ctx, interestTimeout)), nil
	case *wire.Query_Revoke:
		n, failed := b.revokeHere(revocationFrom(revocation.FromWire(q.Revoke)))
		if failed != nil && failed.Reason != ReasonNotKept {
			return nil, failed
		}
		return matched(n), nil // the table keeps it, too
	case *wire.Query_LookAtRevoked:
		b.revoked.Sync()
		return &wire.Count{}, nil
	case *wire.Query_Drain:
		b.drain()
		return &wire.Count{}, nil
	case *wire.Query_FindWill:
		return b.wills.Find(cluster.NodeID(q.FindWill.GetNode()), from), nil
	}
	return &wire.Count{}, nil // of a release that knows more than this one
}

// roomsHere returns a page of the rooms that have members on this node.
func (b *Broker) roomsHere(q *wire.ListRooms) []*wire.Room {
	var rooms []*wire.Room
	limit, within := int(q.GetLimit()), areasFrom(q.GetWithin())
	for _, name := range q.GetNamespaces() {
		ns, ok := b.namespaces[name]
		if !ok || name < q.GetAfterNamespace() || len(rooms) >= limit {
			continue
		}
		after := ""
		if name == q.GetAfterNamespace() {
			after = q.GetAfterName()
		}
		for _, r := range ns.roomsWithin(within, q.GetPrefix(), after, limit-len(rooms)) {
			rooms = append(rooms, &wire.Room{Namespace: name, Name: r.Name, Sockets: uint32(r.Members)}) //nolint:gosec // bounded by file descriptors
		}
	}
	return rooms
}

// roomsWithin returns a page of the rooms that one of the areas holds, no areas
// being all. It looks only at rooms that begin as one of their patterns does.
func (ns *namespace) roomsWithin(areas []room.Area, prefix, after string, limit int) (rooms []room.RoomSize) {
	if len(areas) == 0 {
		return ns.index.Rooms(prefix, after, limit, nil)
	}
	keep := func(name string) bool { return room.Holds(areas, ns.name, name) }
	for _, start := range room.Prefixes(areas, ns.name, prefix) {
		rooms = append(rooms, ns.index.Rooms(start, after, limit-len(rooms), keep)...)
	}
	return rooms
}

func areasTo(areas []room.Area) []*wire.RoomArea {
	var out []*wire.RoomArea
	for _, a := range areas {
		out = append(out, &wire.RoomArea{Namespace: a.Namespace, Pattern: string(a.Rooms)})
	}
	return out
}

func areasFrom(areas []*wire.RoomArea) []room.Area {
	var out []room.Area
	for _, a := range areas {
		out = append(out, room.Area{Namespace: a.GetNamespace(), Rooms: room.Pattern(a.GetPattern())})
	}
	return out
}

// mergeRooms makes one list of those of several nodes, in order and with the
// members of each room added up.
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

// membersHere tells who is in a room on this node.
func (b *Broker) membersHere(q *wire.GetRoom) *wire.Members {
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

// countMembers adds up what nodes have told of a room. A user counts once,
// whatever the number of nodes.
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

// socketsHere returns a page of the sockets of this node.
func (b *Broker) socketsHere(q *wire.ListSockets) []SocketInfo {
	var found []*socket
	for _, name := range q.GetNamespaces() {
		if ns, ok := b.namespaces[name]; ok {
			f := room.Filter{Room: q.GetRoom(), User: q.GetUser()}
			found = append(found, ns.index.Members(f, q.GetAfter(), int(q.GetLimit()))...)
		}
	}
	slices.SortFunc(found, func(a, b *socket) int { return cmp.Compare(a.id, b.id) })
	found = found[:min(len(found), int(q.GetLimit()))]
	infos := make([]SocketInfo, len(found))
	for i, s := range found {
		infos[i] = s.info()
	}
	return infos
}

func sortSockets(sockets []SocketInfo) {
	slices.SortFunc(sockets, func(a, b SocketInfo) int { return cmp.Compare(a.ID, b.ID) })
}

func (b *Broker) socketHere(id string) (SocketInfo, bool) {
	for _, ns := range b.namespaces {
		if s, ok := ns.index.Get(id); ok {
			return s.info(), true
		}
	}
	return SocketInfo{}, false
}

func socketsTo(sockets []SocketInfo) *wire.Sockets {
	list := &wire.Sockets{}
	for _, s := range sockets {
		list.Sockets = append(list.Sockets, &wire.Socket{
			Id:              s.ID,
			User:            s.User,
			Namespace:       s.Namespace,
			Rooms:           s.Rooms,
			Address:         s.Address,
			Transport:       s.Transport,
			ConnectedUnixMs: s.ConnectTime.UnixMilli(),
			Data:            s.Data,
		})
	}
	return list
}

func socketsFrom(list *wire.Sockets) []SocketInfo {
	var sockets []SocketInfo
	for _, s := range list.GetSockets() {
		sockets = append(sockets, SocketInfo{
			ID:          s.GetId(),
			User:        s.GetUser(),
			Namespace:   s.GetNamespace(),
			Node:        string(ownerOf(s.GetId())),
			Rooms:       s.GetRooms(),
			Address:     s.GetAddress(),
			Transport:   s.GetTransport(),
			ConnectTime: time.UnixMilli(s.GetConnectedUnixMs()),
			Data:        s.GetData(),
		})
	}
	return sockets
}

// answersOf reads the answers of nodes to one query. One that can't be read is
// as good as none: the second result names its node.
func answersOf[T any, M interface {
	*T
	proto.Message
}](r cluster.Result) (answers []M, unread []string) {
	for _, reply := range r.Replies {
		if reply.Err != nil {
			continue // which is in the coverage
		}
		answer := M(new(T))
		if err := proto.Unmarshal(reply.Payload, answer); err != nil {
			unread = append(unread, string(reply.Node))
			continue
		}
		answers = append(answers, answer)
	}
	return answers, unread
}
