package eventhub

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Hub hands events to those who subscribe. Its methods may be called
// concurrently; none but Decide and Close waits for anything.
type Hub struct {
	// Static.
	opts      Options
	deadlines *deadlines

	lastID   atomic.Uint64
	draining atomic.Bool
	// routes is what publishers read: who wants what. It is replaced, never
	// changed.
	routes atomic.Pointer[routes]

	mu            sync.Mutex
	groups        []*group
	subscriptions int // of this node's
	remotes       int // of other nodes'
	lastMember    uint64
	watchers      []chan struct{}
	closed        bool
}

// routes are the groups with their members as of one moment, and the kinds that any
// of them wants.
type routes struct {
	kinds  [numKinds]bool
	groups []route
}

type route struct {
	group   *group
	members []*Subscription
}

// New returns a hub, which has a goroutine until Close.
func New(o Options) *Hub {
	o = o.withDefaults()
	h := &Hub{opts: o, deadlines: newDeadlines(o.AckTimeout)}
	// The time makes ids unique across restarts, as far as clocks can.
	h.lastID.Store(uint64(max(time.Now().UnixMicro(), 0)))
	h.routes.Store(&routes{})
	go h.deadlines.run()
	return h
}

// Wants reports whether anybody would hear of such an event, so that it needs to
// be made at all. The name matters only for a Message. It takes no lock.
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
		if (m.decide || !decide) && m.filter.match(kind, namespace, name) {
			return true
		}
	}
	return false
}

// Handles reports whether anybody who isn't there only to observe wants messages
// of that name, so that its client can be told at once if not. It takes no lock.
func (h *Hub) Handles(namespace, name string) bool {
	for _, r := range h.routes.Load().groups {
		if !r.group.observes && r.wants(Message, namespace, name, false) {
			return true
		}
	}
	return false
}

// Publish hands an event to one member of every group that wants it.
func (h *Hub) Publish(e *Event) { h.publish(entry{event: e}) }

// PublishTracked is [Hub.Publish] for an event of a lost node, whose publisher
// must know when groups have been handed it. Redelivered says that they may have
// been handed it before, by another node. If the event has left for a node that
// is lost, its mates get it even if it was redelivered before.
func (h *Hub) PublishTracked(e *Event, redelivered bool, handover *Handover) {
	h.publish(entry{event: e, redelivered: redelivered, tracked: handover})
}

func (h *Hub) publish(en entry) {
	e, to := en.event, h.routes.Load()
	if !to.kinds[e.Kind] {
		return
	}
	for _, r := range to.groups {
		if !r.wants(e.Kind, e.Namespace, e.Name, false) {
			continue
		}
		if en.id == 0 {
			en.id, en.size = h.lastID.Add(1), e.size()
		}
		en.tracked.add()
		r.group.enqueue(en)
	}
}

// Ask publishes an event whose client asked for an ack. It calls reply exactly
// once, from any goroutine and maybe before it returns, with the first reply or
// with an Error whose code is one of the package's reasons. reply must be quick.
// Groups that observe get the event and aren't asked.
func (h *Hub) Ask(e *Event, reply func(Reply)) {
	q := h.newQuestion(e, func(a answer) {
		if a.err != nil {
			a.reply = Reply{Error: a.err.failure()}
		}
		reply(a.reply)
	})
	en := entry{id: q.id, event: e, size: e.size()}
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
		q.end(stateExpired, answer{err: failed(h.whyNobody())})
		return
	}
	q.waiting.Store(int32(len(q.groups))) //nolint:gosec // there are at most MaxSubscriptions
	h.deadlines.add(q)
	en.question = q
	for _, g := range q.groups {
		g.enqueue(en)
	}
}

func (h *Hub) newQuestion(e *Event, tell func(answer)) *question {
	return &question{hub: h, id: h.lastID.Add(1), kind: e.Kind, tell: tell}
}

// whyNobody is why there are no subscribers.
func (h *Hub) whyNobody() string {
	if h.draining.Load() {
		return ReasonDraining
	}
	return ReasonNoHandler
}

// Forget says that a socket is gone, after the last event of it. Without it the
// hub remembers the socket's members for as long as they live.
func (h *Hub) Forget(socket string) {
	for _, r := range h.routes.Load().groups {
		r.group.forget(pin{name: socket})
	}
}

// Start says what a new subscription is for.
type Start struct {
	// Group is the group to join; empty for a group of its own.
	Group string
	// Filter says which events are wanted.
	Filter Filter
	// Decide says that the member decides who may connect, in the namespaces of its
	// filter, whose kinds must include Connect.
	Decide bool
	// Observe says that the member only looks on: it is never asked, and an event
	// that nobody else wants has no handler. All members of a group observe, or
	// none.
	Observe bool
	// Credits is how many events may come at first.
	Credits int
}

// Subscribe adds a member to a group. The error is an *[Error].
func (h *Hub) Subscribe(start Start) (*Subscription, error) {
	if err := h.check(start); err != nil {
		return nil, err
	}
	s := h.newSubscription(start)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining.Load() {
		return nil, failed(ReasonDraining)
	}
	if h.subscriptions >= h.opts.MaxSubscriptions {
		return nil, tooMany()
	}
	g, err := h.groupNamed(start.Group, start.Observe)
	if err != nil {
		return nil, err
	}
	h.subscriptions++
	h.enter(s, g)
	h.opts.Observer.SubscriptionOpened()
	return s, nil
}

func (h *Hub) newSubscription(start Start) *Subscription {
	return &Subscription{
		hub:     h,
		start:   start,
		filter:  newMatcher(start.Filter),
		decide:  start.Decide,
		ready:   make(chan struct{}, 1),
		done:    make(chan struct{}),
		credits: start.Credits,
	}
}

func tooMany() error {
	return &Error{
		Reason:  ReasonTooManySubscriptions,
		Message: "there are as many subscriptions as the broker allows; close one, or use one for several filters",
	}
}

// enter makes s a member of g. The caller holds mu.
func (h *Hub) enter(s *Subscription, g *group) {
	h.lastMember++
	s.id, s.group = h.lastMember, g
	g.add(s)
	h.reroute()
}

func (h *Hub) check(start Start) error {
	switch i := slices.IndexFunc(start.Filter.Kinds, func(k Kind) bool { return !k.valid() }); {
	case i >= 0:
		return &Error{Reason: ReasonInvalid, Field: "kinds", Message: "there is no such kind of event"}
	case start.Decide && len(start.Filter.Kinds) > 0 && !slices.Contains(start.Filter.Kinds, Connect):
		return &Error{Reason: ReasonInvalid, Field: "decide", Message: "who decides needs the kind CONNECT"}
	case start.Decide && start.Observe:
		return &Error{Reason: ReasonInvalid, Field: "observe", Message: "who observes isn't asked, and so can't decide; leave out one of the two"}
	}
	return h.checkCredits(start.Credits)
}

// groupNamed returns the group of that name, a new one if there is none. The
// caller holds mu.
func (h *Hub) groupNamed(name string, observes bool) (*group, error) {
	var named *group
	for _, g := range h.groups {
		switch {
		case name == "" || g.name != name:
		case g.observes == observes:
			named = g
		case slices.ContainsFunc(g.current(), func(s *Subscription) bool { return s.remote == nil }):
			return nil, &Error{Reason: ReasonInvalid, Field: "observe", Message: "the group has members of which this isn't true; either all observe or none, so use another group"}
		}
	}
	if named == nil {
		named = h.newGroup(name, observes)
	}
	return named, nil
}

// newGroup adds a group. The caller holds mu.
func (h *Hub) newGroup(name string, observes bool) *group {
	g := &group{
		hub:      h,
		name:     name,
		observes: observes,
		pins:     make(map[pin]*Subscription),
		open:     make(map[uint64]held),
	}
	h.groups = append(h.groups, g)
	return g
}

// left takes note that members of groups have gone, and forgets groups without
// members.
func (h *Hub) left(gone []*Subscription) {
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
	h.reroute()
}

// reroute makes publishers see the groups as they are. The caller holds mu.
func (h *Hub) reroute() {
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
		ring(w)
	}
}

// Close drains the hub: nobody can subscribe any more; what is queued is handed out
// as far as credits go, and what was handed out may be answered, until
// nothing is left or the context ends. Then the subscriptions end with
// ReasonDraining, and questions still open with an error of that code. It
// returns the context's error if that came first. Events may be published
// meanwhile, and after it to nobody.
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
		g.end(failed(ReasonDraining))
	}
	close(h.deadlines.stop)
	<-h.deadlines.stopped
	return err
}
