package eventhub

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Hub hands events to the backends that subscribe to them. Its methods may be called concurrently.
// None but Decide and Close waits for anything.
type Hub struct {
	// Static.
	opts      Options
	deadlines *deadlines
	backlogs  *backlogs

	lastID   atomic.Uint64 // of a delivery
	draining atomic.Bool
	routes   atomic.Pointer[routes] // what publishers read; replaced, never changed

	mu            sync.Mutex
	groups        []*group
	subscriptions int // of this node
	remotes       int // of other nodes
	lastMember    uint64
	watchers      []chan<- struct{}
	closed        bool
}

// routes are the groups with their members at one moment, and the kinds that any of them wants.
type routes struct {
	kinds  [numKinds]bool
	groups []route
}

type route struct {
	group   *group
	members []*Subscription
}

// New returns a hub. It has a goroutine until Close.
func New(o Options) *Hub {
	o = o.withDefaults()
	h := &Hub{opts: o, deadlines: newDeadlines(o.AckTimeout), backlogs: newBacklogs(o.MaxOwnerBytes)}
	h.lastID.Store(firstDeliveryID())
	h.routes.Store(&routes{})
	go h.deadlines.run()
	return h
}

// firstDeliveryID returns a random id to count from, so that the ids of other nodes and of earlier
// runs are different: of 1000 hubs with 10⁹ deliveries each, two share an id with a probability
// below 10⁻³. Ids with the highest bit set are those of lostDeliveryID.
func firstDeliveryID() uint64 {
	return 1 + rand.Uint64N(1<<62) //nolint:gosec // ids are unique, not secret
}

// Wants reports whether any subscription wants such an event, so that it has to be made at all. The
// name matters only for a Message. It takes no lock.
func (h *Hub) Wants(kind Kind, namespace, name string) bool {
	to := h.routes.Load()
	if !to.kinds[kind] {
		return false
	}
	for _, r := range to.groups {
		if r.wants(kind, namespace, name, false) {
			return true
		}
	}
	return false
}

func (r route) wants(kind Kind, namespace, name string, decide bool) bool {
	for _, m := range r.members {
		if (m.opts.Decide || !decide) && m.filter.match(kind, namespace, name) {
			return true
		}
	}
	return false
}

// Handles reports whether any subscription that doesn't just observe wants messages of that name.
// If not, their clients can be told immediately. It takes no lock.
func (h *Hub) Handles(namespace, name string) bool {
	for _, r := range h.routes.Load().groups {
		if !r.group.observes && r.wants(Message, namespace, name, false) {
			return true
		}
	}
	return false
}

// Handlers returns the names of the groups that don't just observe and want messages of that
// name; "" for a subscription without a group. It takes no lock.
func (h *Hub) Handlers(namespace, name string) (groups []string) {
	for _, r := range h.routes.Load().groups {
		if !r.group.observes && r.wants(Message, namespace, name, false) {
			groups = append(groups, r.group.name)
		}
	}
	return groups
}

// NewDeliveryID returns an id for the deliveries of one event, for those who need to know it before
// the event is published.
func (h *Hub) NewDeliveryID() uint64 { return h.lastID.Add(1) }

// Publish hands an event to one member of every group that wants it.
func (h *Hub) Publish(e *Event) { h.publish(entry{id: e.DeliveryID, event: e}) }

// PublishTracked publishes the Disconnect of a lost node's socket, like Publish, and lets the
// tracker say when it was handed out. Redelivered says that another node may have published it
// before. Its delivery id depends only on the socket, its node, and the incarnation of that node when
// it was lost, so that backends recognize it then.
func (h *Hub) PublishTracked(e *Event, incarnation uint64, redelivered bool, t *Tracker) {
	h.publish(entry{id: lostDeliveryID(e.Socket, incarnation), event: e, redelivered: redelivered, tracker: t})
}

func (h *Hub) publish(en entry) {
	e, to := en.event, h.routes.Load()
	if !to.kinds[e.Kind] {
		return
	}
	en.size = e.Size()
	for _, r := range to.groups {
		if !r.wants(e.Kind, e.Namespace, e.Name, false) {
			continue
		}
		if en.id == 0 {
			en.id = h.NewDeliveryID()
		}
		en.tracker.add()
		r.group.enqueue(en)
	}
}

// Ask publishes an event whose client asks for an ack. It calls reply exactly once, from any
// goroutine and maybe before it returns, with the first reply or with an Error whose code is one of
// the package's reasons. reply must be quick. Groups that observe get the event but aren't asked.
func (h *Hub) Ask(e *Event, reply func(Reply)) {
	q := h.newQuestion(e, func(a answer) {
		if a.err != nil {
			a.reply = Reply{Error: a.err.failure()}
		}
		reply(a.reply)
	})
	q.groups = q.first[:0]
	en := entry{id: q.id, event: e, size: e.Size()}
	for _, r := range h.routes.Load().groups {
		switch {
		case !r.wants(e.Kind, e.Namespace, e.Name, false):
		case r.group.observes:
			r.group.enqueue(en)
		default:
			q.groups = append(q.groups, r.group)
		}
	}
	if len(q.groups) == 0 {
		q.end(stateExpired, answer{err: newError(h.noHandlerReason())})
		return
	}
	q.waiting.Store(int32(len(q.groups))) //nolint:gosec // there are at most MaxSubscriptions
	h.deadlines.add(q)
	en.question = q
	for _, g := range q.groups {
		g.enqueue(en)
	}
}

func (h *Hub) newQuestion(e *Event, done func(answer)) *question {
	id := e.DeliveryID
	if id == 0 {
		id = h.NewDeliveryID()
	}
	return &question{hub: h, id: id, kind: e.Kind, asked: time.Now(), done: done}
}

// noHandlerReason says why there is no subscription.
func (h *Hub) noHandlerReason() string {
	if h.draining.Load() {
		return ReasonDraining
	}
	return ReasonNoHandler
}

// Forget says that a socket is gone. It is called after the socket's last event; until then the hub
// keeps which members get the socket's events.
func (h *Hub) Forget(socket string) {
	for _, r := range h.routes.Load().groups {
		r.group.unpin(pin{name: socket})
	}
}

// SubscribeOptions say what a [Subscription] is for.
type SubscribeOptions struct {
	// Group is the group to join; empty for a group of its own.
	Group string
	// Filter says which events are wanted.
	Filter Filter
	// Decide says that the member decides who may connect, in the namespaces of its filter. The
	// filter's kinds must include Connect.
	Decide bool
	// Observe says that the member only observes: it is never asked, and an event that no other
	// member wants has no handler. Either all members of a group observe or none.
	Observe bool
	// Credits is how many events may come at first.
	Credits int
	// Owner is who subscribes, for people and for [Options.MaxOwnerBytes]; may be empty.
	Owner string
}

// Subscribe adds a member to a group. The error is an *[Error].
func (h *Hub) Subscribe(o SubscribeOptions) (*Subscription, error) {
	s, err := h.addMember(o, nil)
	if err == nil {
		h.opts.Observer.SubscriptionOpened()
	}
	return s, err
}

// addMember adds a member to a group: a subscription of this node, or what r needs to represent one
// of another node.
func (h *Hub) addMember(o SubscribeOptions, r *Remote) (*Subscription, error) {
	if err := h.check(o); err != nil {
		return nil, err
	}
	s := &Subscription{
		hub:     h,
		opts:    o,
		filter:  newMatcher(o.Filter),
		ready:   make(chan struct{}, 1),
		done:    make(chan struct{}),
		remote:  r,
		share:   h.backlogs.owner(o.Owner),
		credits: o.Credits,

		reserved: freeBytes,
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	count, limit := &h.subscriptions, h.opts.MaxSubscriptions
	if r != nil {
		r.s = s
		count, limit = &h.remotes, h.opts.MaxRemotes
	}
	switch {
	case h.draining.Load():
		return nil, newError(ReasonDraining)
	case *count >= limit:
		return nil, newError(ReasonTooManySubscriptions)
	case r == nil && h.groupConflicts(o):
		return nil, &Error{
			Reason: ReasonInvalid, Field: "observe",
			Message: "either all members of a group observe or none, and this group has other members; use another group",
		}
	}
	*count++
	h.lastMember++
	s.id, s.group = h.lastMember, h.groupOf(o)
	s.group.add(s)
	h.updateRoutes()
	return s, nil
}

func (h *Hub) check(o SubscribeOptions) error {
	switch {
	case slices.ContainsFunc(o.Filter.Kinds, func(k Kind) bool { return !k.valid() }):
		return &Error{Reason: ReasonInvalid, Field: "kinds", Message: "there is no such kind of event"}
	case o.Decide && len(o.Filter.Kinds) > 0 && !slices.Contains(o.Filter.Kinds, Connect):
		return &Error{Reason: ReasonInvalid, Field: "decide", Message: "a subscription that decides needs the kind CONNECT"}
	case o.Decide && o.Observe:
		return &Error{Reason: ReasonInvalid, Field: "observe", Message: "a subscription that observes can't decide; leave out one of the two"}
	}
	return h.checkCredits(o.Credits, 0)
}

// groupConflicts reports whether this node has a group of that name that observes where o doesn't, or
// the reverse. Nodes may have different groups of the same name, because nobody could be told that
// the name is taken. The caller holds mu.
func (h *Hub) groupConflicts(o SubscribeOptions) bool {
	return o.Group != "" && slices.ContainsFunc(h.groups, func(g *group) bool {
		return g.name == o.Group && g.observes != o.Observe &&
			slices.ContainsFunc(g.current(), func(s *Subscription) bool { return s.remote == nil })
	})
}

// groupOf returns the group for a new member, a new one if there is none. The caller holds mu.
func (h *Hub) groupOf(o SubscribeOptions) *group {
	i := slices.IndexFunc(h.groups, func(g *group) bool {
		return g.name != "" && g.name == o.Group && g.observes == o.Observe
	})
	if i >= 0 {
		return h.groups[i]
	}
	g := &group{
		hub:         h,
		name:        o.Group,
		observes:    o.Observe,
		pins:        make(map[pin]*Subscription),
		outstanding: make(map[uint64]outstanding),
	}
	h.groups = append(h.groups, g)
	return g
}

// removeMembers notes that members of groups have gone, and drops groups without members.
func (h *Hub) removeMembers(gone []*Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range gone {
		if s.remote == nil {
			h.subscriptions--
		} else {
			h.remotes--
		}
	}
	h.groups = slices.DeleteFunc(h.groups, func(g *group) bool { return len(g.current()) == 0 })
	h.updateRoutes()
}

// updateRoutes shows publishers the groups as they are now. The caller holds mu.
func (h *Hub) updateRoutes() {
	to := &routes{}
	for _, g := range h.groups {
		members := g.current()
		to.groups = append(to.groups, route{g, members})
		for _, m := range members {
			for kind, wanted := range m.filter.kinds {
				to.kinds[kind] = to.kinds[kind] || wanted
			}
		}
	}
	h.routes.Store(to)
	for _, w := range h.watchers {
		notify(w)
	}
}

// Close drains the hub. New subscriptions are refused. Queued events are handed out as far as
// credits allow, and outstanding ones may be answered, until nothing is left or the context ends.
// Then the subscriptions end with ReasonDraining, and open questions fail with that code. Close
// returns the context's error if the context ended first. Events may still be published, and go
// nowhere after Close.
func (h *Hub) Close(ctx context.Context) error {
	h.draining.Store(true)
	h.mu.Lock()
	groups, first := slices.Clone(h.groups), !h.closed
	h.closed = true
	h.mu.Unlock()
	if !first {
		return nil
	}
	var err error
	for _, g := range groups {
		select {
		case <-g.idle():
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	for _, g := range groups {
		g.end(newError(ReasonDraining))
	}
	close(h.deadlines.stop)
	<-h.deadlines.stopped
	return err
}
