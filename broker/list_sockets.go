package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/eventhub/socketwire"
	"github.com/salabroker/sala/broker/room"
)

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
	if x.away != nil {
		kept.AwaySince, kept.AwayReason, kept.Expires = x.away.lost, x.away.why, x.away.deadline
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
