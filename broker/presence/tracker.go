package presence

import (
	"context"
	"sync"
	"time"

	"github.com/salabroker/sala/broker/cluster/wire"
)

const (
	// keepFor is how long it is remembered that a user was passed on or was announced to have left:
	// longer than a question takes that others ask at the same time.
	keepFor = 10 * time.Second
	// gatherFor is the least time between two calls, so that one has many questions when there are
	// many.
	gatherFor = 5 * time.Millisecond
	// maxQuestions bounds the questions of a call, and maxCalls the calls at the same time.
	maxQuestions, maxCalls = 1000, 4
	// maxRecords bounds what may be unsettled at the same time. Changes beyond it are dropped.
	maxRecords = 200_000
	// retryAfter is when nodes are asked again that didn't answer. Each further pause is twice as
	// long, up to retryAtMost.
	retryAfter, retryAtMost = 50 * time.Millisecond, 2 * time.Second
	// afterLoss is how long it isn't announced that a user has come after a node didn't answer. If
	// that node was lost and had the user, its successors say so meanwhile.
	afterLoss = 3 * time.Second
	// joinPatience is how long a node that doesn't answer keeps it from being announced that a user
	// has come.
	joinPatience = 30 * time.Second
	// closePatience is the same for a node that is about to end, if it has that long.
	closePatience = time.Second
)

// Options configure a [Tracker]. All but Ask, Adopt and Deposit are required.
type Options struct {
	// Self is this node.
	Self string
	// Window is how long users may take to return whose connection was lost.
	Window time.Duration
	// Local says whether this node has sockets of a user in a place. It is called without locks that
	// are taken before the index's.
	Local func(Place) Local
	// Ask asks all other nodes, and waits for their answers, which have as many parts as the
	// questions. Complete is false if a node hasn't answered. Nil on a single node.
	Ask func(ctx context.Context, q *wire.AskPresence) (answers map[string]*wire.PresenceAnswers, complete bool)
	// Adopt hands users who are awaited over to another node, and reports whether that has taken
	// them. Nil on a single node.
	Adopt func(ctx context.Context, l *wire.AdoptLeaves) bool
	// Deposit says that this node has a user who isn't about to be announced, or has to find out
	// whether it has left, or that neither is true any longer. If this node is lost, another one calls
	// Lost for the user. It is called with locks held and must not wait. Nil on a single node.
	Deposit func(p Place, present bool)
	// Announce publishes a change. It must not wait.
	Announce func(Change)
	// Dropped is called when a change couldn't be taken because too many are unsettled. It is called
	// with locks held and must not wait.
	Dropped func()
	// Now returns the time of day; [time.Now] if it is nil. It is for tests with clocks that differ.
	Now func() time.Time
}

// Tracker finds out when users come and go. Its methods may be called concurrently. Those that say
// what happens at this node never wait, and may be called while the index is locked.
type Tracker struct {
	// Static.
	opts Options
	wake chan struct{} // holds a token if the agenda begins earlier

	// announcing is held while something is decided and announced, and while another node is
	// answered. So another node that learns of a decision announces its own ones later.
	announcing sync.Mutex

	// Guarded by mu.
	mu      sync.Mutex
	clock   clock
	records map[Place]*record
	agenda  agenda           // those that aren't being asked about
	handed  map[Place]handed // a short while ago, and not asked about since
	swept   time.Time        // when handed was

	unsettled int       // how many records are
	closing   bool      // Close was called
	decideBy  time.Time // and waits for answers until then
	closed    bool      // it has returned
}

// New returns a tracker. Run makes it work.
func New(o Options) *Tracker {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ask == nil {
		o.Ask = func(context.Context, *wire.AskPresence) (map[string]*wire.PresenceAnswers, bool) { return nil, true }
	}
	if o.Deposit == nil {
		o.Deposit = func(Place, bool) {}
	}
	return &Tracker{
		opts: o, wake: make(chan struct{}, 1), clock: clock{now: o.Now}, records: make(map[Place]*record),
		handed: make(map[Place]handed),
	}
}

// Came says that this node has the first socket of a user in a place.
func (t *Tracker) Came(p Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[p]
	switch {
	case r == nil || !r.isUnsettled() || r.phase != coming && r.inherited:
		t.add(p, coming, time.Now())
	case r.phase == coming:
		r.gone = false
	default: // back in time
		t.remove(r)
	}
}

// Left says that this node has lost the last socket of a user in a place. Lost says that its
// connection was lost, so that the user may return in time.
func (t *Tracker) Left(p Place, lost bool) {
	now := time.Now()
	due := now
	if lost {
		due = now.Add(t.opts.Window)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.records[p]; r != nil && r.phase == coming {
		r.gone, r.due = true, due
		return
	}
	t.addLeave(p, due, now)
}

// addLeave makes a record of a user who has left and is awaited until due. It returns nil if there are
// too many. mu is held.
func (t *Tracker) addLeave(p Place, due, now time.Time) *record {
	in := leaving
	if due.After(now) {
		in = waiting
	}
	added := t.add(p, in, due)
	t.opts.Deposit(p, added != nil)
	return added
}

// settle ends the question about a user who has come. If the user has left meanwhile, the next
// question follows. mu is held.
func (t *Tracker) settle(r *record, now time.Time) {
	if r.gone {
		t.addLeave(r.place, r.due, now)
		return
	}
	t.remove(r)
	t.opts.Deposit(r.place, true)
}
