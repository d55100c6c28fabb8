package eventhub

// SubscriptionRef names a subscription in the whole cluster.
type SubscriptionRef struct {
	// Node is the id of the subscription's node; empty for the node of the hub.
	Node string
	// ID is unique among the subscriptions of that node.
	ID uint64
}

// maxPins bounds how many pins move with a socket. In the other groups its next event chooses a
// member, as if it were the first.
const maxPins = 256

// ref names the subscription of a member, which may be that of another node.
func (s *Subscription) ref() SubscriptionRef {
	if s.remote != nil {
		return s.remote.ref
	}
	return SubscriptionRef{ID: s.id}
}

// Pins returns the members to which a socket is pinned, for the node that takes the socket over. It
// is called when no event of the socket follows here, and [Hub.Forget] after it. Groups that have
// only ever one member need no pin. There are at most 256 pins: a socket in more groups keeps its
// members in the groups that are oldest.
func (h *Hub) Pins(socket string) (to []SubscriptionRef) {
	for _, r := range h.routes.Load().groups {
		m := r.group.pinned(pin{name: socket})
		if m != nil && len(to) < maxPins {
			to = append(to, m.ref())
		}
	}
	return to
}

// Pin pins a socket that this node takes over to the members that have got its events so far. It is
// called before the first event of the socket here, and [Hub.Forget] after the last one, as ever. A
// subscription that isn't known here, or isn't any more, is left out: in its group, the first event
// chooses a member.
func (h *Hub) Pin(socket string, to []SubscriptionRef) {
	if len(to) == 0 {
		return
	}
	want := make(map[SubscriptionRef]struct{}, len(to))
	for _, ref := range to {
		want[ref] = struct{}{}
	}
	for _, r := range h.routes.Load().groups {
		for _, m := range r.members {
			if _, ok := want[m.ref()]; ok {
				r.group.pinTo(pin{name: socket}, m)
			}
		}
	}
}

// pinned returns the member that p is pinned to, nil if there is none.
func (g *group) pinned(p pin) *Subscription {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pins[p]
}

// pinTo pins p to a member, unless that has ended or the group has no order to keep.
func (g *group) pinTo(p pin, m *Subscription) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.name != "" && m.err == nil {
		g.pins[p] = m
	}
}
