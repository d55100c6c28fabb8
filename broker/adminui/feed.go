package adminui

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/salabroker/sala/broker/engineio"
	"github.com/salabroker/sala/broker/eventhub"
)

const (
	// reconcileInterval is how often a list of all sockets makes up for missed events. It also
	// shows what no event tells: new data, and a switch from long-polling to WebSocket.
	reconcileInterval = 5 * time.Second
	// maxUpdates is how many updates admins get per second. Bursts may be twice as many.
	maxUpdates = 500
	// maxListBytes bounds the list of sockets, which has to fit into the queue of a connection.
	maxListBytes = 768 << 10
	// observed is how many events are taken at once. So many more may come meanwhile.
	observed = 256
	// maxBatches is how often events are taken before the feed looks for something else to do.
	maxBatches = 32
	// largeTime is how long admins see totals only, at least.
	largeTime = 30 * time.Second
)

// feed tells admins about sockets, rooms and events. One goroutine uses it.
type feed struct {
	s        *Server
	budget   *rate.Limiter
	batch    []eventhub.Delivery
	mirror   *mirror     // nil while nobody sees sockets
	observes Observation // nil with mirror, and after it has ended
	due      time.Time   // of the next list
	large    bool        // there are too many sockets, or too much to say about them
	since    time.Time   // when that was found last
	resend   bool        // updates were left out, so the whole list has to follow
	dropped  int         // events of clients that were left out since the last list
}

func newFeed(s *Server) *feed {
	return &feed{s: s, budget: rate.NewLimiter(maxUpdates, 2*maxUpdates), batch: make([]eventhub.Delivery, observed)}
}

// run runs the feed until ctx ends.
func (f *feed) run(ctx context.Context) {
	defer f.stop()
	timer := time.NewTimer(reconcileInterval)
	defer timer.Stop()
	for {
		timer.Stop()
		var ready <-chan struct{}
		if f.mirror != nil {
			timer.Reset(time.Until(f.due))
		}
		if f.observes != nil {
			ready = f.observes.Ready()
		}
		select {
		case <-ctx.Done():
			return
		case <-f.s.feedWake:
		case <-ready:
		case <-timer.C:
		}
		f.step(ctx)
	}
}

// step does what there is to do.
func (f *feed) step(ctx context.Context) {
	admins := f.s.signedIn()
	watchers := f.watchers(admins)
	f.checkSize()
	if len(watchers) == 0 || f.large {
		f.stop()
	} else {
		f.start()
		f.take(watchers)
		f.reconcile(ctx, watchers)
	}
	for _, a := range admins {
		f.tell(a)
	}
}

// watchers returns the admins who see the sockets of any namespace.
func (f *feed) watchers(admins []*admin) (watchers []*admin) {
	for _, a := range admins {
		for _, name := range f.s.opts.Node.Namespaces() {
			if a.sees(name).sockets {
				watchers = append(watchers, a)
				break
			}
		}
	}
	return watchers
}

// checkSize finds out whether there are too many sockets. They are few enough again only a while
// later and with a fifth fewer, so that the page doesn't change all the time.
func (f *feed) checkSize() {
	total := f.s.total.Load()
	switch {
	case total > MaxSockets:
		f.setLarge(total)
	case total <= MaxSockets*4/5 && time.Since(f.since) > largeTime:
		f.large = false
	}
}

func (f *feed) setLarge(sockets int64) {
	if !f.large {
		f.s.opts.Logger.Info("admins see totals only: there are too many sockets to show each", "sockets", sockets, "most", MaxSockets)
	}
	f.large, f.since = true, time.Now()
}

// start begins to observe, unless the feed does already.
func (f *feed) start() {
	if f.mirror == nil {
		f.setMirror(newMirror())
		f.due = time.Now()
	}
	if f.observes != nil {
		return
	}
	observation, err := f.s.opts.Node.Observe()
	if err != nil { // the list goes on; the next step tries again
		f.s.opts.Logger.Debug("admins see no events", "error", err)
		return
	}
	f.observes = observation
}

// stop stops observing.
func (f *feed) stop() {
	if f.observes != nil {
		f.observes.Close()
		f.observes = nil
	}
	if f.mirror != nil {
		f.setMirror(nil)
	}
	f.resend, f.dropped = false, 0
}

func (f *feed) setMirror(m *mirror) {
	f.mirror = m
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.mirror = m
}

// take applies the events that there are.
func (f *feed) take(watchers []*admin) {
	for range maxBatches {
		if f.observes == nil {
			return
		}
		n, err := f.observes.Take(f.batch)
		for _, d := range f.batch[:n] {
			f.send(watchers, f.mirror.apply(d.Event))
		}
		clear(f.batch[:n])
		switch {
		case err != nil: // the next step begins again, and the list makes up for what is missing
			f.observes.Close()
			f.observes, f.due = nil, time.Now()
		case n == 0:
			return
		default:
			_ = f.observes.Credit(n) // as many as there were before
		}
	}
	notify(f.s.feedWake) // there may be more
}

// reconcile lists all sockets if that is due.
func (f *feed) reconcile(ctx context.Context, watchers []*admin) {
	if time.Now().Before(f.due) {
		return
	}
	sockets, more, partial := f.s.opts.Node.Sockets(ctx, MaxSockets)
	f.due = time.Now().Add(reconcileInterval)
	if more {
		f.setLarge(max(f.s.total.Load(), MaxSockets+1))
		f.stop()
		return
	}
	f.send(watchers, f.mirror.reconcile(sockets, !partial))
	if f.dropped > 0 {
		f.s.opts.Logger.Info("admins don't see all events: there are too many", "left_out", f.dropped, "most_per_second", maxUpdates)
		f.dropped = 0
	}
	if f.resend {
		f.resend = false
		for _, a := range watchers {
			a.verbose = false // tell sends the list
		}
	}
}

// send sends updates to the admins who may see them. Above maxUpdates a second it leaves some out.
func (f *feed) send(watchers []*admin, updates []update) {
	for _, u := range updates {
		if !f.budget.Allow() {
			f.leaveOut(u)
			continue
		}
		encoded := frame(u.event, u.args...)
		for _, a := range watchers {
			sees := a.sees(u.namespace)
			if !a.verbose || !sees.sockets || u.sent && !sees.events {
				continue
			}
			if a.empty && u.event == socketConnected { // the page chooses a namespace only from a list
				a.empty = false
				a.send(frame("all_sockets", u.args[:1]))
			}
			a.send(encoded)
		}
	}
}

func (f *feed) leaveOut(u update) {
	if u.sent {
		f.dropped++
	} else {
		f.resend = true
	}
}

// tell sends an admin what has changed for the page as a whole.
func (f *feed) tell(a *admin) {
	all := f.mirror != nil && len(f.watchers([]*admin{a})) > 0
	if all && a.verbose {
		return
	}
	var sockets []shownSocket
	var list *engineio.Frame
	if all {
		sockets = f.mirror.list(func(namespace string) bool { return a.sees(namespace).sockets })
		list = frame("all_sockets", sockets)
	}
	if all && list.Size() > maxListBytes { // for all admins, from the next step on
		f.setLarge(int64(len(sockets)))
		notify(f.s.feedWake)
		all = false
	}
	if !a.told || a.verbose != all {
		a.send(frame("config", a.features(all)))
	}
	a.told, a.verbose, a.empty = true, all, len(sockets) == 0
	if all {
		a.send(list)
	}
}
