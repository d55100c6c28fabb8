package outcome

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/realip"
)

// Bounds of what a node remembers: for how many users or addresses, rooms and limits, and how
// much for each.
const (
	problemKeys, problemsEach = 256, 8
	emitKeys, emitsEach       = 512, 4
	limitKeys                 = 512
)

// Bounds of watchers.
const (
	// MaxWatchers is how many watchers a node has at most.
	MaxWatchers = 64
	// MaxWatchersOfOwner is how many of them belong to one owner at most.
	MaxWatchersOfOwner = 32
	// maxRemoteWatchers is how many watchers of other nodes a node knows at most.
	maxRemoteWatchers = 256
)

// ErrTooManyWatchers is the error for one watcher too many.
var ErrTooManyWatchers = errors.New("there are too many watchers")

// Recorder records what became of things at one node, until Close. Its methods may be called
// concurrently and don't wait.
type Recorder struct {
	// Static.
	node string
	log  *slog.Logger
	// debug says that everything is logged.
	debug bool

	active   atomic.Int32 // how many watchers there are; one more if debug logs are on
	watchers atomic.Pointer[[]*Watcher]

	registering sync.Mutex // held while the watchers change
	lastID      uint64     // guarded by registering

	drops gathering

	mu       sync.Mutex
	problems recent[who, Event] // of users
	dropped  recent[who, Event] // of what was sent to users
	refusals recent[who, Event] // of clients whose user isn't known
	emits    recent[whom, sent]
	limits   recent[hitter, LimitHit] // of users
	floods   recent[hitter, LimitHit] // of clients whose user isn't known
}

// who caused a problem: a user of a namespace or, without one, the network of an address.
type who struct{ namespace, user, network string }

// whom a message was for.
type whom struct {
	namespace string
	kind      byte
	name      string
}

const (
	toRoom byte = iota
	toUser
	toSocket
	toEveryone
)

// hitter is who hit a limit.
type hitter struct {
	limit string
	who
}

// LimitHit says who hit which limit how often.
type LimitHit struct {
	Limit, Namespace, User, Address, Node string
	Count                                 int
	First, Last                           time.Time
}

// NewRecorder returns a recorder for a node. With debug, everything is logged. Close must follow.
func NewRecorder(node string, log *slog.Logger, debug bool) *Recorder {
	r := &Recorder{
		node:     node,
		log:      log,
		debug:    debug,
		problems: newRecent[who, Event](problemKeys, problemsEach),
		refusals: newRecent[who, Event](problemKeys, problemsEach),
		dropped:  newRecent[who, Event](problemKeys, problemsEach),
		emits:    newRecent[whom, sent](emitKeys, emitsEach),
		limits:   newRecent[hitter, LimitHit](limitKeys, 1),
		floods:   newRecent[hitter, LimitHit](limitKeys, 1),
	}
	r.watchers.Store(&[]*Watcher{})
	if debug {
		r.active.Add(1)
	}
	return r
}

// Active reports whether somebody watches. Otherwise only problems and emits need to be
// recorded. It is one atomic load.
func (r *Recorder) Active() bool { return r.active.Load() > 0 }

// Record tells the watchers of an event, and remembers it if it is a problem of a client.
func (r *Recorder) Record(e Event) {
	e.Node, e.Time = r.node, cmpTime(e.Time)
	if e.isProblem() {
		r.remember(&e)
	}
	if r.Active() {
		r.show(&e)
	}
}

func cmpTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}

// show tells the watchers of an event and logs it.
func (r *Recorder) show(e *Event) {
	for _, w := range *r.watchers.Load() {
		w.Offer(e)
	}
	r.logEvent(e)
}

func (r *Recorder) logEvent(e *Event) {
	if !r.debug {
		return
	}
	attrs := []any{"kind", e.Kind.String()}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, name, value)
		}
	}
	add("namespace", e.Namespace)
	if e.Socket != nil {
		add("socket", e.Socket.ID)
	}
	add("user", e.UserName())
	add("address", e.Address)
	room := e.Room
	if room == "" && len(e.Target.Rooms) > 0 {
		room = e.Target.Rooms[0]
	}
	add("room", loggable(room))
	add("event", loggable(e.Name))
	add("key", e.Key)
	add("limit", e.Limit)
	add("result", e.Result.String())
	add("code", e.Code)
	add("reason", e.Reason)
	if e.Result == Relayed || e.Result == Sent {
		attrs = append(attrs, "matched", e.Report.Matched, "queued", e.Report.Queued,
			"kept", e.Report.Kept, "dropped", e.Report.Dropped)
	}
	if e.Result == Dropped {
		attrs = append(attrs, "dropped", e.Report.Dropped)
	}
	r.log.Debug("outcome", attrs...)
}

// maxLoggable is the longest name of a room or an event that is logged. Whoever chose it may have
// put a secret there by mistake: API keys and tokens are longer.
const maxLoggable = 40

func loggable(name string) string {
	if len(name) > maxLoggable {
		return fmt.Sprintf("(%d bytes)", len(name))
	}
	return name
}

// whoOf returns who caused an event.
func whoOf(e *Event) who {
	if user := e.UserName(); user != "" {
		return who{namespace: e.Namespace, user: user}
	}
	address := e.Address
	if address == "" && e.Socket != nil {
		address = e.Socket.Address
	}
	return who{namespace: e.Namespace, network: realip.Network(realip.Address(address)).String()}
}

// remember keeps a problem. One that is like the one before it only counts.
func (r *Recorder) remember(e *Event) {
	key, kept := whoOf(e), small(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == Limit {
		r.countLimit(hitter{e.Limit, key}, e)
	}
	table := &r.problems
	if key.user == "" {
		table = &r.refusals
	}
	if last := table.last(key); last != nil && alike(last, &kept) {
		kept.Count = last.Count + 1
		*last = kept
		return
	}
	table.add(key, kept)
}

// small returns an event without what is large.
func small(e *Event) Event {
	kept := *e
	kept.Args, kept.Attachments, kept.Count = nil, nil, 1
	if s := e.Socket; s != nil {
		kept.Socket = &eventhub.Socket{
			ID: s.ID, User: s.User, Namespace: s.Namespace, Node: s.Node,
			Address: s.Address, Transport: s.Transport, ConnectTime: s.ConnectTime,
		}
	}
	return kept
}

// alike reports whether two problems of one user or address are the same one.
func alike(a, b *Event) bool {
	return a.Kind == b.Kind && a.Code == b.Code && a.Limit == b.Limit && a.Name == b.Name && a.Room == b.Room
}

// countLimit counts that a limit was hit. r.mu is held.
func (r *Recorder) countLimit(key hitter, e *Event) {
	hit := LimitHit{Limit: e.Limit, Namespace: e.Namespace, User: e.UserName(), Address: e.Address, Node: e.Node, Count: 1, First: e.Time, Last: e.Time}
	table := &r.limits
	if key.user == "" {
		table = &r.floods
	}
	if last := table.last(key); last != nil {
		hit.Count, hit.First = hit.Count+last.Count, last.First
		*last = hit
		return
	}
	table.add(key, hit)
}

// Limits returns who hit a limit lately, the last one first. The slice is the caller's.
func (r *Recorder) Limits() []LimitHit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limits.newest()
}

// ProblemsOf returns the last problems of a user in a namespace, newest first. The slice is
// the caller's.
func (r *Recorder) ProblemsOf(namespace, user string) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problems.of(who{namespace: namespace, user: user})
}

// Watch returns a watcher that gets what is recorded from now on, until [Recorder.Unwatch].
// The error is [ErrTooManyWatchers].
func (r *Recorder) Watch(owner string, f Filter) (*Watcher, error) {
	r.registering.Lock()
	defer r.registering.Unlock()
	all, mine := r.local(), 0
	for _, w := range all {
		if w.owner == owner {
			mine++
		}
	}
	if len(all) >= MaxWatchers || mine >= MaxWatchersOfOwner {
		return nil, ErrTooManyWatchers
	}
	r.lastID++
	w := newWatcher(r.lastID, owner, f, make(chan struct{}, 1))
	r.add(w)
	return w, nil
}

// watchRemote returns a watcher that stands for one of another node, nil if there are too many.
func (r *Recorder) watchRemote(f Filter, ready chan struct{}) *Watcher {
	r.registering.Lock()
	defer r.registering.Unlock()
	if len(*r.watchers.Load()) >= MaxWatchers+maxRemoteWatchers {
		return nil
	}
	w := newWatcher(0, "", f, ready)
	w.remote = true
	r.add(w)
	return w
}

// local returns the watchers of this node.
func (r *Recorder) local() (watchers []*Watcher) {
	for _, w := range *r.watchers.Load() {
		if !w.remote {
			watchers = append(watchers, w)
		}
	}
	return watchers
}

// add adds a watcher. r.registering is held.
func (r *Recorder) add(w *Watcher) {
	watchers := append(slices.Clip(*r.watchers.Load()), w)
	r.watchers.Store(&watchers)
	r.active.Add(1)
}

// Unwatch ends a watcher. It may be called again.
func (r *Recorder) Unwatch(w *Watcher) {
	ended := w.close()
	if !ended {
		return
	}
	r.registering.Lock()
	defer r.registering.Unlock()
	watchers := slices.DeleteFunc(slices.Clone(*r.watchers.Load()), func(other *Watcher) bool { return other == w })
	r.watchers.Store(&watchers)
	r.active.Add(-1)
}
