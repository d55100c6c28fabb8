package forward

import (
	"errors"
	"slices"

	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub"
)

// announce tells all nodes of the subscriptions here that have come or gone.
func (p *Peers) announce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := p.ids()
	if slices.Equal(ids, p.lastIDs) {
		return // it was one of another node
	}
	told := p.announced
	for _, n := range p.nodes {
		p.tellRoster(n, told)
	}
	p.lastIDs = ids
	for _, id := range ids {
		p.announced = max(p.announced, id)
	}
}

// ids returns those of the subscriptions here, in order.
func (p *Peers) ids() []uint64 {
	var ids []uint64
	for _, s := range p.opts.Hub.Subscriptions() {
		ids = append(ids, s.ID())
	}
	slices.Sort(ids)
	return ids
}

// tellRoster tells a node which subscriptions there are, and describes those behind
// the id told, in as many messages as that takes. The caller holds mu.
func (p *Peers) tellRoster(n *node, told uint64) {
	page, size := &wire.Roster{}, 0
	subscriptions := p.opts.Hub.Subscriptions()
	for _, s := range subscriptions {
		page.Ids = append(page.Ids, s.ID())
	}
	for id := range n.feeds { // whose end hasn't been reported yet, which says more
		if !slices.Contains(page.GetIds(), id) {
			page.Ids = append(page.Ids, id)
		}
	}
	ids := page.GetIds()
	for _, s := range subscriptions {
		if s.ID() <= told {
			continue
		}
		described := subscriberTo(s)
		size += sizeOf(described)
		if size > batchBytes && len(page.GetSubscribers()) > 0 {
			page.More = true
			p.say(n, &wire.EventTraffic{Body: &wire.EventTraffic_Roster{Roster: page}})
			page, size = &wire.Roster{Ids: ids}, sizeOf(described)
		}
		page.Subscribers = append(page.Subscribers, described)
	}
	p.say(n, &wire.EventTraffic{Body: &wire.EventTraffic_Roster{Roster: page}})
}

func sizeOf(s *wire.Subscriber) int {
	size := 64 + len(s.GetGroup())
	for _, names := range [][]string{s.GetNamespaces(), s.GetNames()} {
		for _, name := range names {
			size += len(name) + 4
		}
	}
	return size
}

// heardRoster represents the subscriptions of another node, as far as they aren't
// yet, and forgets those that have ended.
func (p *Peers) heardRoster(n *node, r *wire.Roster) {
	there := make(map[uint64]bool, len(r.GetIds()))
	for _, id := range r.GetIds() {
		there[id] = true
	}
	for id, f := range n.forwards {
		if !there[id] && len(f.onTheWay) == 0 { // else it will be said what became of that
			p.stop(f, false)
		}
	}
	refused := false
	for _, s := range r.GetSubscribers() {
		if _, ok := n.forwards[s.GetId()]; !ok && there[s.GetId()] {
			refused = !p.represent(n, s.GetId(), startFrom(s)) || refused
		}
	}
	for id := range there {
		if _, ok := n.forwards[id]; !ok && !r.GetMore() && !refused {
			p.say(n, &wire.EventTraffic{Body: &wire.EventTraffic_RosterRequest{RosterRequest: &wire.RosterRequest{}}})
			return
		}
	}
}

// represent has the hub hand events to a subscription of another node. It reports
// whether it does.
func (p *Peers) represent(n *node, id uint64, start eventhub.Start) bool {
	start.Credits = window
	remote, err := p.opts.Hub.Represent(start, p.bell)
	if err != nil {
		var failed *eventhub.Error
		if !errors.As(err, &failed) || failed.Reason != eventhub.ReasonDraining {
			p.opts.Logger.Warn("a subscription at another node hears nothing of this one's clients", "node", string(n.id), "error", err)
		}
		return false
	}
	p.sessions++
	f := &forward{node: n, id: id, session: p.sessions, remote: remote, next: 1}
	n.forwards[id] = f
	p.forwards[remote] = f
	return true
}

func subscriberTo(s *eventhub.Subscription) *wire.Subscriber {
	start := s.Start()
	w := &wire.Subscriber{
		Id:         s.ID(),
		Group:      start.Group,
		Namespaces: start.Filter.Namespaces,
		Names:      start.Filter.Names,
		Decide:     start.Decide,
		Observe:    start.Observe,
	}
	for _, k := range start.Filter.Kinds {
		w.Kinds = append(w.Kinds, uint32(k))
	}
	return w
}

func startFrom(s *wire.Subscriber) eventhub.Start {
	start := eventhub.Start{
		Group:   s.GetGroup(),
		Filter:  eventhub.Filter{Namespaces: s.GetNamespaces(), Names: s.GetNames()},
		Decide:  s.GetDecide(),
		Observe: s.GetObserve(),
	}
	for _, k := range s.GetKinds() {
		start.Filter.Kinds = append(start.Filter.Kinds, kindFrom(k))
	}
	return start
}
