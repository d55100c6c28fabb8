package broker

import (
	"cmp"
	"context"
	"slices"
	"time"

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
	for _, events := range []*[]outcome.Event{&x.Problems, &x.Messages} {
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
	f.Messages = append(f.Messages, b.outcomes.EmitsTo(ns.name, f.User, ids, f.Room)...)
}

// explain says what the node knows of a socket and a room.
func (s *socket) explain(name string) explain.Socket {
	d := s.describe()
	s.mu.Lock()
	grant, expires := s.claims.Grant, s.claims.ExpiresAt
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
