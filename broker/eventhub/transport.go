package eventhub

// Transport carries events between this hub and the hubs of other nodes. It is all that the hub
// knows of the cluster; package forward implements it.
//
// The first two methods are called with a group's lock held. They must return at once and must not
// call back into the hub: an implementation notes the call and does the work on a goroutine of its
// own. All methods may be called concurrently.
type Transport interface {
	// RemoteChanged says that a remote has events to take, questions that have ended, or has
	// itself ended.
	RemoteChanged(r *Remote)
	// SourceChanged says that the subscription of a source has taken events, or has ended.
	SourceChanged(s *Source)
	// Answered hands over the subscription's answer to a delivery of a source. It is called
	// without locks, before the SourceChanged of a subscription that then ends, and must be quick.
	Answered(s *Source, a Answer)
}

// Answer is a subscription's answer to a delivery that a [Source] offered.
type Answer struct {
	// ID is the delivery's.
	ID uint64
	// IsDecision says which of the two others is set.
	IsDecision bool
	Reply      Reply
	Decision   Decision
}

// Subscriptions returns the subscriptions of this node, without those that represent other nodes'.
func (h *Hub) Subscriptions() []*Subscription {
	var all []*Subscription
	for _, r := range h.routes.Load().groups {
		for _, m := range r.members {
			if m.remote == nil {
				all = append(all, m)
			}
		}
	}
	return all
}

// WantsKind reports whether any subscription wants events of a kind, in whatever namespace. It
// takes no lock.
func (h *Hub) WantsKind(kind Kind) bool { return h.routes.Load().kinds[kind] }

// Watch returns a channel that gets a value after subscriptions have come or gone.
func (h *Hub) Watch() <-chan struct{} {
	w := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, w)
	return w
}
