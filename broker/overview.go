package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/outcome"
	"github.com/salabroker/sala/broker/stats"
)

// GroupInfo is a group of backends that share events.
type GroupInfo struct {
	// Name is the group's name; empty for one subscription without a group.
	Name string
	// Observes says that its members only observe.
	Observes bool
	// Waiting is how many events wait for a member, Unacknowledged how many answers members owe.
	Waiting, Unacknowledged int
	// Members are ordered by id.
	Members []GroupMember
}

// GroupMember is a subscription of a backend.
type GroupMember struct {
	// ID is unique in the cluster.
	ID, Node string
	SubscribeOptions
	Waiting, Unacknowledged int
}

// GroupList has the groups, ordered by name.
type GroupList struct {
	Groups []GroupInfo
	PartialResult
}

// ListGroups lists the groups of backends of all nodes. It may be called concurrently.
func (b *Broker) ListGroups(ctx context.Context) (GroupList, error) {
	replies, partial := callAll[wire.GroupMembers](ctx, b, &wire.Op{Op: &wire.Op_ListGroups{ListGroups: &wire.ListGroups{}}})
	return GroupList{Groups: mergeGroups(append(replies, b.localGroups())), PartialResult: partial}, nil
}

// localGroups describes the members of groups that this node knows.
func (b *Broker) localGroups() *wire.GroupMembers {
	list := &wire.GroupMembers{}
	for _, m := range b.events.Members() {
		w := &wire.GroupMember{Node: cmp.Or(m.Ref.Node, b.id), Subscription: m.Ref.ID, Waiting: uint32(m.Waiting)} //nolint:gosec // queues are bounded
		if m.Ref.Node != "" {
			w.Remote = true
			list.Members = append(list.Members, w)
			continue
		}
		w.Group, w.Observes, w.Decides, w.Owner = m.Group, m.Observe, m.Decide, m.Owner
		w.Namespaces, w.Names = m.Filter.Namespaces, m.Filter.Names
		for _, kind := range m.Filter.Kinds {
			w.Kinds = append(w.Kinds, uint32(kind))
		}
		w.Credits, w.Unacknowledged = uint32(m.Credits), uint32(m.Unacknowledged) //nolint:gosec // both are bounded and not negative
		list.Members = append(list.Members, w)
	}
	return list
}

// mergeGroups arranges the members of all nodes by groups. Events that wait for a member at
// other nodes count as well.
func mergeGroups(parts []*wire.GroupMembers) []GroupInfo {
	elsewhere := make(map[string]int) // by the member's id
	var members []*wire.GroupMember
	for _, part := range parts {
		for _, m := range part.GetMembers() {
			if m.GetRemote() {
				elsewhere[memberID(m)] += int(m.GetWaiting())
			} else {
				members = append(members, m)
			}
		}
	}
	slices.SortFunc(members, func(a, b *wire.GroupMember) int {
		return cmp.Or(cmp.Compare(a.GetGroup(), b.GetGroup()), compareBools(a.GetObserves(), b.GetObserves()),
			cmp.Compare(a.GetNode(), b.GetNode()), cmp.Compare(a.GetSubscription(), b.GetSubscription()))
	})
	var groups []GroupInfo
	for _, m := range members {
		n := len(groups)
		if n == 0 || m.GetGroup() == "" || groups[n-1].Name != m.GetGroup() || groups[n-1].Observes != m.GetObserves() {
			groups = append(groups, GroupInfo{Name: m.GetGroup(), Observes: m.GetObserves()})
			n++
		}
		g, member := &groups[n-1], memberFromWire(m, elsewhere[memberID(m)])
		g.Members = append(g.Members, member)
		g.Waiting += member.Waiting
		g.Unacknowledged += member.Unacknowledged
	}
	return groups
}

func memberID(m *wire.GroupMember) string {
	return fmt.Sprintf("%s/%d", m.GetNode(), m.GetSubscription())
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// memberFromWire describes a member for which so many events wait at other nodes.
func memberFromWire(m *wire.GroupMember, elsewhere int) GroupMember {
	member := GroupMember{
		ID: memberID(m), Node: m.GetNode(),
		SubscribeOptions: SubscribeOptions{
			Group: m.GetGroup(), Namespaces: m.GetNamespaces(), Events: m.GetNames(), Credits: int(m.GetCredits()),
			Decide: m.GetDecides(), Observe: m.GetObserves(), Owner: m.GetOwner(),
		},
		Waiting: int(m.GetWaiting()) + elsewhere, Unacknowledged: int(m.GetUnacknowledged()),
	}
	for _, kind := range m.GetKinds() {
		member.Kinds = append(member.Kinds, eventhub.Kind(kind)) //nolint:gosec // a kind that isn't known is shown as such
	}
	return member
}

// NodeStats is what a node has measured in the last hour.
type NodeStats struct {
	Node string
	// End is the time of the newest point; zero if there is none.
	End    time.Time
	Series []stats.Series
}

// StatsList has what the nodes have measured, ordered by node.
type StatsList struct {
	Nodes []NodeStats
	PartialResult
}

// Stats returns up to so many of the newest points that each node has measured; zero means
// all. It may be called concurrently; the error is a *[Error].
func (b *Broker) Stats(ctx context.Context, points int) (StatsList, error) {
	if points < 0 || points > stats.Points {
		return StatsList{}, violations{{Field: "points", Description: fmt.Sprintf("%d is not between 1 and %d", points, stats.Points)}}.err()
	}
	query := &wire.GetStats{Points: uint32(cmp.Or(points, stats.Points))} //nolint:gosec // checked above
	replies, partial := callAll[wire.Stats](ctx, b, &wire.Op{Op: &wire.Op_GetStats{GetStats: query}})
	list := StatsList{PartialResult: partial}
	for _, reply := range append(replies, b.localStats(query)) {
		node := NodeStats{Node: reply.GetNode()}
		if end := reply.GetEndUnixNs(); end != 0 {
			node.End = time.Unix(0, end)
		}
		for _, s := range reply.GetSeries() {
			node.Series = append(node.Series, stats.Series{Name: s.GetName(), Label: s.GetLabel(), Values: s.GetValues()})
		}
		list.Nodes = append(list.Nodes, node)
	}
	slices.SortFunc(list.Nodes, func(a, b NodeStats) int { return cmp.Compare(a.Node, b.Node) })
	return list, nil
}

// localStats returns what this node has measured.
func (b *Broker) localStats(q *wire.GetStats) *wire.Stats {
	series, end := b.stats.Newest(int(q.GetPoints()))
	w := &wire.Stats{Node: b.id}
	if !end.IsZero() {
		w.EndUnixNs = end.UnixNano()
	}
	for _, s := range series {
		w.Series = append(w.Series, &wire.StatsSeries{Name: s.Name, Label: s.Label, Values: s.Values})
	}
	return w
}

// measure samples the metrics of the node every [stats.Step], until ctx ends.
func (b *Broker) measure(ctx context.Context) {
	meter := &stats.Meter{}
	b.stats.Run(ctx, func(now time.Time) []stats.Value {
		meter.Begin(now)
		b.sample(meter)
		return meter.End()
	})
}

func (b *Broker) sample(meter *stats.Meter) {
	sockets, rooms, away := 0, 0, int64(0)
	for _, ns := range b.namespaces {
		s, r := ns.index.Len()
		sockets, rooms, away = sockets+s, rooms+r, away+ns.away.Load()
	}
	m := b.metrics
	meter.Level("connections", m.connections)
	meter.Set("sockets", float64(sockets))
	meter.Set("sockets_away", float64(away))
	meter.Set("rooms", float64(rooms))
	meter.Set("memory", stats.Memory())
	meter.Rate("messages_in", m.events)
	meter.Rate("messages_out", m.queued)
	meter.Rate("emits", m.emits)
	meter.Rate("events_to_backends", m.stream.delivered)
	meter.Rate("refused_connects", m.refusals)
	meter.Rate("limits", m.limits)
	meter.Quantiles("emit_latency", m.latency.emit)
	meter.Quantiles("delivery_latency", m.latency.delivery)
	meter.RateBy("drops", "reason", m.dropped, m.stream.lost)
}

// LimitList says who hit limits lately, the last one first.
type LimitList struct {
	Limits []outcome.LimitHit
	PartialResult
}

// maxLimitHits bounds a [LimitList].
const maxLimitHits = 1000

// ListLimits lists who hit limits of the nodes lately, in the namespaces; none means
// everybody, also clients that were in no namespace yet. It may be called concurrently.
func (b *Broker) ListLimits(ctx context.Context, namespaces []string) (LimitList, error) {
	replies, partial := callAll[wire.LimitHits](ctx, b, &wire.Op{Op: &wire.Op_ListLimits{ListLimits: &wire.ListLimits{}}})
	list := LimitList{PartialResult: partial}
	for _, reply := range append(replies, b.localLimits()) {
		for _, h := range reply.GetHits() {
			if len(namespaces) > 0 && !slices.Contains(namespaces, h.GetNamespace()) {
				continue
			}
			list.Limits = append(list.Limits, outcome.LimitHit{
				Limit: h.GetLimit(), Namespace: h.GetNamespace(), User: h.GetUser(), Address: h.GetAddress(), Node: h.GetNode(),
				Count: int(h.GetCount()), First: time.Unix(0, h.GetFirstUnixNs()), Last: time.Unix(0, h.GetLastUnixNs()),
			})
		}
	}
	slices.SortStableFunc(list.Limits, func(a, b outcome.LimitHit) int { return b.Last.Compare(a.Last) })
	list.Limits = list.Limits[:min(len(list.Limits), maxLimitHits)]
	return list, nil
}

// localLimits says who hit limits of this node.
func (b *Broker) localLimits() *wire.LimitHits {
	list := &wire.LimitHits{}
	for _, h := range b.outcomes.Limits() {
		list.Hits = append(list.Hits, &wire.LimitHit{
			Limit: h.Limit, Namespace: h.Namespace, User: h.User, Address: h.Address, Node: b.id,
			Count: uint32(h.Count), FirstUnixNs: h.First.UnixNano(), LastUnixNs: h.Last.UnixNano(), //nolint:gosec // it takes years to count as far
		})
	}
	return list
}
