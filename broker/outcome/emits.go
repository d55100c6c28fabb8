package outcome

import (
	"slices"
	"time"
)

// maxNames is how many rooms, users and sockets of a message are remembered.
const maxNames = 4

// Emitted is a message of a backend. The recorder keeps none of its slices.
type Emitted struct {
	Namespace string
	Target    Target
	Name, Key string
	Report    Report
	// Code and Message are the error, if nothing was sent.
	Code, Message string
}

// sent is what is remembered of a message. It has no slices but those of its report, so that
// remembering needs no memory.
type sent struct {
	time                  time.Time
	namespace, name, key  string
	code, message         string
	everyone              bool
	rooms, users, sockets [maxNames]string
	more                  int
	report                Report
}

// RecordEmit tells the watchers of a backend's message, and remembers it for those whom it was
// for. Unless somebody watches, it allocates no memory once the table is full.
func (r *Recorder) RecordEmit(m *Emitted) {
	now := time.Now()
	s := sent{
		time: now, namespace: m.Namespace, name: m.Name, key: m.Key, code: m.Code, message: m.Message,
		everyone: m.Target.Everyone, report: m.Report, more: m.Target.More,
	}
	for _, names := range []struct {
		from []string
		to   *[maxNames]string
	}{{m.Target.Rooms, &s.rooms}, {m.Target.Users, &s.users}, {m.Target.Sockets, &s.sockets}} {
		s.more += len(names.from) - copy(names.to[:], names.from)
	}
	r.rememberEmit(&s)
	if r.Active() {
		e := r.emitEvent(&s)
		e.Target.Rooms, e.Target.Users, e.Target.Sockets = slices.Clone(m.Target.Rooms), slices.Clone(m.Target.Users), slices.Clone(m.Target.Sockets)
		e.Target.More = m.Target.More
		r.show(&e)
	}
}

func (r *Recorder) rememberEmit(s *sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.everyone {
		r.emits.add(whom{s.namespace, toEveryone, ""}, *s)
		return
	}
	for kind, names := range [...]*[maxNames]string{toRoom: &s.rooms, toUser: &s.users, toSocket: &s.sockets} {
		for _, name := range names {
			if name != "" {
				r.emits.add(whom{s.namespace, byte(kind), name}, *s)
			}
		}
	}
}

// emitEvent returns a message as an event.
func (r *Recorder) emitEvent(s *sent) Event {
	e := Event{
		Kind: Emit, Time: s.time, Node: r.node, Namespace: s.namespace, Name: s.name, Key: s.key,
		Code: s.code, Message: s.message, Result: Sent, Report: s.report,
		Target: Target{Everyone: s.everyone, Rooms: present(s.rooms), Users: present(s.users), Sockets: present(s.sockets), More: s.more},
	}
	if s.code != "" {
		e.Result = Denied
	}
	return e
}

func present(names [maxNames]string) []string {
	return slices.DeleteFunc(slices.Clone(names[:]), func(name string) bool { return name == "" })
}

// EmitsTo returns the last messages of backends to a user, to sockets of it, to a room and to
// everyone in a namespace, newest first. An empty user or room is none. The slice is the
// caller's.
func (r *Recorder) EmitsTo(namespace, user string, sockets []string, room string) []Event {
	keys := []whom{{namespace, toEveryone, ""}}
	if user != "" {
		keys = append(keys, whom{namespace, toUser, user})
	}
	if room != "" {
		keys = append(keys, whom{namespace, toRoom, room})
	}
	for _, id := range sockets {
		keys = append(keys, whom{namespace, toSocket, id})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []Event
	for _, key := range keys {
		for _, s := range r.emits.of(key) {
			e := r.emitEvent(&s)
			if !slices.ContainsFunc(events, func(other Event) bool { return other.Time.Equal(e.Time) && other.Name == e.Name }) {
				events = append(events, e)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return b.Time.Compare(a.Time) })
	return events
}
