package broker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/outcome/explain"
	"github.com/salabroker/sala/broker/room"
)

// Bounds of an [Explanation].
const (
	maxExplainedSockets = 100
	maxExplainedEvents  = 20
)

// ExplainQuery names a user and a room.
type ExplainQuery struct {
	// Namespace is the namespace; empty means "/".
	Namespace string
	// User is the user. Required.
	User string
	// Room is the room; empty for none.
	Room string
}

// Explanation is what the nodes know of a user and a room.
type Explanation struct {
	explain.Facts
	// Checks say what that means.
	Checks []explain.Check
}

// Explain collects why a user does or doesn't get what is sent to a room. It may be called
// concurrently; the error is a *[Error].
func (b *Broker) Explain(ctx context.Context, q ExplainQuery) (Explanation, error) {
	var v violations
	validateUser(&v, "user", q.User)
	if q.Room != "" {
		validateRoom(&v, "room", q.Room)
	}
	if err := v.err(); err != nil {
		return Explanation{}, err
	}
	ns, err := b.namespace(q.Namespace)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Facts: explain.Facts{Namespace: ns.name, User: q.User, Room: q.Room, Now: time.Now(), JoinEvent: b.opts.Rooms.JoinEvent}}
	b.explainLocal(ns, &x.Facts)
	query := &wire.ExplainUser{Namespace: ns.name, User: q.User, Room: q.Room}
	result, partial := b.callOthers(ctx, everyNode(), callTimeout, &wire.Op{Op: &wire.Op_ExplainUser{ExplainUser: query}})
	for _, reply := range result.Replies {
		for _, facts := range decode[wire.UserFacts](cluster.Result{Replies: []cluster.Reply{reply}}, &partial) {
			addFacts(&x.Facts, reply.Node, facts)
		}
	}
	x.Partial, x.Missing = partial.Partial, partial.Missing
	x.arrange()
	if q.Room != "" {
		x.History = b.explainHistory(ctx, ns.name, q.Room)
	}
	x.Checks = x.Facts.Check()
	return x, nil
}

// arrange orders what nodes have said and leaves out what is too much.
func (x *Explanation) arrange() {
	slices.SortFunc(x.Sockets, func(a, b explain.Socket) int { return cmp.Compare(a.ID, b.ID) })
	if n := len(x.Sockets); n > maxExplainedSockets {
		x.Sockets, x.More = x.Sockets[:maxExplainedSockets], x.More+n-maxExplainedSockets
	}
	newestFirst := func(a, b outcome.Event) int { return b.Time.Compare(a.Time) }
	for _, events := range []*[]outcome.Event{&x.Problems, &x.Drops, &x.Messages} {
		slices.SortStableFunc(*events, newestFirst)
		*events = (*events)[:min(len(*events), maxExplainedEvents)]
	}
}

// explainLocal adds what this node knows.
func (b *Broker) explainLocal(ns *namespace, f *explain.Facts) {
	members, _ := ns.index.Room(f.Room)
	f.Members += members
	found := ns.index.OfUser(f.User, "")
	ids := make([]string, 0, maxExplainedSockets)
	for _, s := range found {
		switch {
		case s.isShadow(): // its node knows it
		case len(ids) == maxExplainedSockets:
			f.More++
		default:
			ids = append(ids, s.id)
			f.Sockets = append(f.Sockets, s.explain(f.Room))
		}
	}
	f.Problems = append(f.Problems, b.outcomes.ProblemsOf(ns.name, f.User)...)
	f.Drops = append(f.Drops, b.outcomes.DropsOf(ns.name, f.User)...)
	f.Messages = append(f.Messages, b.outcomes.EmitsTo(ns.name, f.User, ids, f.Room)...)
}

// explain says what the node knows of a socket and a room.
func (s *socket) explain(name string) explain.Socket {
	d := s.describe()
	s.mu.Lock()
	grant, expires := s.claims.grant, s.claims.expiresAt()
	s.mu.Unlock()
	rooms := s.ns.index.RoomsOf(s)
	x := explain.Socket{
		ID: s.id, Node: s.b.id, Address: d.Address, Transport: d.Transport, ConnectTime: d.ConnectTime,
		Away: d.Away, Rooms: len(rooms), TokenExpires: expires,
	}
	if name != "" {
		x.InRoom = slices.Contains(rooms, name)
		x.MayJoin, x.MayPublish = room.AnyMatches(grant.Join, name), room.AnyMatches(grant.Publish, name)
	}
	if c := s.client.Load(); c != nil {
		x.QueuedBytes, x.Blocked = c.conn.Waiting()
	}
	if s.session != nil {
		s.session.mu.Lock()
		x.Session, x.Unconfirmed, x.Incomplete = !s.session.over, s.session.backlog.Len(), !s.session.backlog.Complete()
		s.session.mu.Unlock()
	}
	return x
}

// applyExplain returns what this node knows, for another one. It doesn't have a namespace that
// only other nodes have.
func (b *Broker) applyExplain(q *wire.ExplainUser) *wire.UserFacts {
	ns, ok := b.namespaces[q.GetNamespace()]
	if !ok {
		return &wire.UserFacts{}
	}
	f := explain.Facts{User: q.GetUser(), Room: q.GetRoom()}
	b.explainLocal(ns, &f)
	w := &wire.UserFacts{Members: uint32(f.Members), More: uint32(f.More)} //nolint:gosec // bounded by file descriptors
	for i := range f.Sockets {
		s := &f.Sockets[i]
		w.Sockets = append(w.Sockets, &wire.ExplainedSocket{
			Id: s.ID, Address: s.Address, Transport: s.Transport, ConnectedUnixNs: s.ConnectTime.UnixNano(), ExpiresUnixNs: unixNs(s.TokenExpires),
			Away: s.Away, InRoom: s.InRoom, Rooms: uint32(s.Rooms), MayJoin: s.MayJoin, MayPublish: s.MayPublish, //nolint:gosec // bounded
			QueuedBytes: uint64(s.QueuedBytes), Blocked: s.Blocked, Session: s.Session, //nolint:gosec // not negative
			Unconfirmed: uint32(s.Unconfirmed), Incomplete: s.Incomplete, //nolint:gosec // bounded
		})
	}
	for i := range f.Problems {
		w.Problems = append(w.Problems, outcome.ToWire(&f.Problems[i]))
	}
	for i := range f.Drops {
		w.Drops = append(w.Drops, outcome.ToWire(&f.Drops[i]))
	}
	for i := range f.Messages {
		w.Messages = append(w.Messages, outcome.ToWire(&f.Messages[i]))
	}
	return w
}

// addFacts adds what another node knows.
func addFacts(f *explain.Facts, from cluster.NodeID, w *wire.UserFacts) {
	f.Members += int(w.GetMembers())
	f.More += int(w.GetMore())
	for _, s := range w.GetSockets() {
		f.Sockets = append(f.Sockets, explain.Socket{
			ID: s.GetId(), Node: string(from), Address: s.GetAddress(), Transport: s.GetTransport(),
			ConnectTime: time.Unix(0, s.GetConnectedUnixNs()), TokenExpires: timeOf(s.GetExpiresUnixNs()),
			Away: s.GetAway(), InRoom: s.GetInRoom(), Rooms: int(s.GetRooms()), MayJoin: s.GetMayJoin(), MayPublish: s.GetMayPublish(),
			QueuedBytes: int(s.GetQueuedBytes()), Blocked: s.GetBlocked(), Session: s.GetSession(), //nolint:gosec // from another node's int
			Unconfirmed: int(s.GetUnconfirmed()), Incomplete: s.GetIncomplete(),
		})
	}
	for _, e := range w.GetProblems() {
		f.Problems = append(f.Problems, outcome.FromWire(from, e))
	}
	for _, e := range w.GetDrops() {
		f.Drops = append(f.Drops, outcome.FromWire(from, e))
	}
	for _, e := range w.GetMessages() {
		f.Messages = append(f.Messages, outcome.FromWire(from, e))
	}
}

// unixNs returns a time as the nodes exchange it; 0 for none.
func unixNs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(unixNs int64) time.Time {
	if unixNs == 0 {
		return time.Time{}
	}
	return time.Unix(0, unixNs)
}

// explainHistory says what is known of the history of a room.
func (b *Broker) explainHistory(ctx context.Context, namespace, name string) explain.History {
	if _, kept := b.recorder.Room(namespace, name); !kept {
		return explain.History{}
	}
	h := explain.History{Kept: true}
	page, err := b.Messages(ctx, MessagesQuery{Namespace: namespace, Room: name, Last: 1})
	switch {
	case err != nil:
		h.Unavailable = true
	case len(page.Messages) == 0:
		h.Empty = true
	default:
		last := page.Messages[len(page.Messages)-1]
		h.Last, h.LastEvent = last.Time, last.Event
	}
	return h
}
