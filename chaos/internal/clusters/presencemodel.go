package clusters

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/chaos/internal/observe"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// place is a user in a room, or in the namespace.
type place struct{ user, room string }

// stay is the time that a tab has been in a place. To is zero while it lasts.
type stay struct {
	place    place
	from, to time.Time
}

// presenceModel knows which tabs were where, and when. It knows nothing of the nodes.
type presenceModel struct {
	excused  map[place]bool // places whose last event may be wrong; see killed
	stays    []*stay
	examples observe.Examples // of what went wrong
}

func newPresenceModel() *presenceModel { return &presenceModel{excused: make(map[place]bool)} }

// killed notes that the node of a tab is about to be killed. What a node has learned right before that
// may be lost with it: then nobody is told that a user has left who had just come.
func (m *presenceModel) killed(t *tab) {
	for _, s := range t.stays {
		if time.Since(s.from) < lostWithNode {
			m.excused[s.place] = true
		}
	}
}

// enter notes that a tab is in a room, or in the namespace.
func (m *presenceModel) enter(t *tab, room string) {
	s := &stay{place: place{fmt.Sprint("user", t.user), room}, from: time.Now()}
	t.stays[room] = s
	m.stays = append(m.stays, s)
}

// leave notes that a tab is about to leave a room.
func (m *presenceModel) leave(t *tab, room string) {
	t.stays[room].to = time.Now()
	delete(t.stays, room)
}

// leaveAll notes that a tab is about to end.
func (m *presenceModel) leaveAll(t *tab) {
	for room := range t.stays {
		m.leave(t, room)
	}
}

// present returns how many of the tabs are in each place.
func (m *presenceModel) present(tabs []*tab) map[place]int {
	all := make(map[place]int)
	for _, t := range tabs {
		for _, s := range t.stays {
			all[s.place]++
		}
	}
	return all
}

// places returns how many places there were.
func (m *presenceModel) places() int {
	all := make(map[place]bool)
	for _, s := range m.stays {
		all[s.place] = true
	}
	return len(all)
}

// there returns the places in which users are.
func (m *presenceModel) there() map[place]bool {
	there := make(map[place]bool)
	for _, s := range m.stays {
		if s.to.IsZero() {
			there[s.place] = true
		}
	}
	return there
}

// toldApart returns about how many places the last event isn't true.
func (m *presenceModel) toldApart(events []userEvent) int {
	told := make(map[place]bool)
	for _, e := range events { // in order
		if told[e.place] = !e.left; e.left {
			delete(told, e.place)
		}
	}
	there := m.there()
	for p := range m.excused {
		delete(told, p)
		delete(there, p)
	}
	return different(told, there)
}

// describe adds an example of a place about which the last event isn't true.
func (m *presenceModel) describe(events []userEvent) {
	last := make(map[place]userEvent)
	for _, e := range events {
		last[e.place] = e
	}
	for _, s := range m.stays {
		if e := last[s.place]; s.to.IsZero() && (e.left || e.time.IsZero()) && !m.excused[s.place] {
			m.examples.Add("%v is there since %v, and the last event is %+v", s.place, s.from, e)
		}
	}
	there := m.there()
	for p, e := range last {
		if !e.left && !there[p] && !m.excused[p] {
			m.examples.Add("%v isn't there, and the last event is %+v", p, e)
		}
	}
}

// wronglyLeft returns how many events say that a user has left who was there then.
func (m *presenceModel) wronglyLeft(events []userEvent) (n int) {
	for _, e := range events {
		i := slices.IndexFunc(m.stays, func(s *stay) bool {
			return e.left && s.place == e.place && s.from.Before(e.time) && (s.to.IsZero() || s.to.After(e.time))
		})
		if i >= 0 {
			n++
			m.examples.Add("%v has left at %v, but was there from %v to %v", e.place, e.time, m.stays[i].from, m.stays[i].to)
		}
	}
	return n
}

// userEvent is what a backend was told about a user.
type userEvent struct {
	place place
	left  bool
	time  time.Time
}

// toldUsers records what a backend is told about users.
type toldUsers struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	events []userEvent
	err    error // why the stream has ended
}

// recordUsers subscribes to the events about users.
func recordUsers(ctx context.Context, conn *grpc.ClientConn) (*toldUsers, error) {
	ctx, cancel := context.WithCancel(ctx)
	told := &toldUsers{cancel: cancel}
	stream, err := salav1.NewEventServiceClient(conn).Subscribe(ctx, grpc.WaitForReady(true))
	if err == nil {
		err = stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
			Kinds: []salav1.EventKind{
				salav1.EventKind_EVENT_KIND_USER_ONLINE, salav1.EventKind_EVENT_KIND_USER_OFFLINE,
				salav1.EventKind_EVENT_KIND_USER_JOINED, salav1.EventKind_EVENT_KIND_USER_LEFT,
			},
			Credits: 100_000,
		}}})
	}
	if err == nil {
		_, err = stream.Recv() // says that it has started
	}
	if err != nil {
		cancel()
		return nil, err
	}
	told.running.Go(func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				told.fail(err)
				return
			}
			told.add(answer.GetEvent())
		}
	})
	return told, nil
}

func (t *toldUsers) add(e *salav1.ClientEvent) {
	if e == nil {
		return
	}
	left := e.GetKind() == salav1.EventKind_EVENT_KIND_USER_OFFLINE || e.GetKind() == salav1.EventKind_EVENT_KIND_USER_LEFT
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, userEvent{place{e.GetUser(), e.GetRoom()}, left, e.GetTime().AsTime()})
}

func (t *toldUsers) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// failure returns why the stream has ended before stop; nil while it lasts.
func (t *toldUsers) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return fmt.Errorf("the event stream: %w", t.err)
	}
	return nil
}

// all returns the events by their times.
func (t *toldUsers) all() []userEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.events)
	slices.SortStableFunc(all, func(a, b userEvent) int { return a.time.Compare(b.time) })
	return all
}

// stop ends the subscription.
func (t *toldUsers) stop() {
	t.cancel()
	t.running.Wait()
}
