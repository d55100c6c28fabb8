package historytest

import (
	"cmp"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/history"
)

// model is what an engine should have of one room.
type model struct {
	room    history.Room
	empty   time.Duration // Subject.EmptyKept
	epoch   string        // empty until the engine has told it
	past    map[string]bool
	end     uint64
	entries []modelEntry
	keyed   map[uint64]modelKeyed // by the number of the identity
	used    time.Time
	marks   []history.Position // positions that a reader may have
}

type modelEntry struct {
	offset uint64
	args   string
	time   time.Time
}

type modelKeyed struct {
	position history.Position
	until    time.Time
}

// begin begins an epoch that the engine will name.
func (m *model) begin() {
	if m.epoch != "" {
		m.past[m.epoch] = true
	}
	m.epoch, m.end, m.entries = "", 0, nil
}

// learn checks an epoch that the engine names.
func (m *model) learn(t *testing.T, epoch string) {
	t.Helper()
	switch {
	case epoch == "" || m.past[epoch]:
		t.Fatalf("room %s: the epoch %q isn't new", m.room.Name, epoch)
	case m.epoch == "":
		m.epoch = epoch
	case m.epoch != epoch:
		t.Fatalf("room %s: the epoch is %q, want %q", m.room.Name, epoch, m.epoch)
	}
}

// use lets what has expired by now expire.
func (m *model) use(now time.Time) {
	kept := m.room.TTL + history.PositionKept
	if m.end == 0 && m.empty > 0 {
		kept = m.empty
	}
	if !m.used.IsZero() && now.Sub(m.used) > kept {
		m.begin()
	}
	m.used = now
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool { return now.Sub(e.time) >= m.room.TTL })
	for number, k := range m.keyed {
		if !k.until.After(now) {
			delete(m.keyed, number)
		}
	}
}

// append is what Append does.
func (m *model) append(t *testing.T, e history.Entry, got history.Position) {
	t.Helper()
	first, repeat := m.keyed[e.ID.Number]
	repeat = repeat && e.IdempotencyKey != "" && first.until.After(e.Time)
	if !repeat || m.end > 0 || m.empty == 0 { // a repeat doesn't touch an empty room that is kept for a short time
		m.use(e.Time)
	}
	if repeat {
		if got != first.position {
			t.Fatalf("room %s: a repeat is at %v, first at %v", m.room.Name, got, first.position)
		}
		return
	}
	m.learn(t, got.Epoch)
	m.end++
	if got.Offset != m.end {
		t.Fatalf("room %s: the offset is %d, want %d", m.room.Name, got.Offset, m.end)
	}
	m.entries = append(m.entries, modelEntry{m.end, string(e.Args), e.Time})
	m.entries = m.entries[max(0, len(m.entries)-m.room.Messages):]
	if e.IdempotencyKey != "" {
		m.keyed[e.ID.Number] = modelKeyed{got, e.Time.Add(Window)}
	}
	m.marks = append(m.marks, got)
}

// read checks a page.
func (m *model) read(t *testing.T, q history.Query, got history.Page, now time.Time) {
	t.Helper()
	m.use(now)
	m.learn(t, got.End.Epoch)
	oldest := m.end + 1
	if len(m.entries) > 0 {
		oldest = m.entries[0].offset
	}
	want, complete := m.entries, true
	switch {
	case q.Since != nil:
		p := *q.Since
		complete = p.Epoch == m.epoch && p.Offset <= m.end && p.Offset+1 >= oldest || p == history.Position{} && oldest == 1
		if complete {
			want = slices.DeleteFunc(slices.Clone(want), func(e modelEntry) bool { return e.offset <= p.Offset })
		}
	case q.Before != nil:
		p := *q.Before
		complete = p.Epoch == m.epoch && p.Offset <= m.end+1 && p.Offset >= oldest
		if p.Epoch == m.epoch {
			want = slices.DeleteFunc(slices.Clone(want), func(e modelEntry) bool { return e.offset >= p.Offset })
		}
	}
	more := len(want) > q.Limit
	if more && q.Since != nil {
		want = want[:q.Limit]
	} else if more {
		want = want[len(want)-q.Limit:]
	}
	same := slices.EqualFunc(got.Entries, want, func(g history.Recorded, w modelEntry) bool {
		return g.Offset == w.offset && string(g.Entry().Args) == w.args
	})
	if !same || got.Complete != complete || got.More != more || got.End.Offset != m.end {
		t.Fatalf("room %s, %+v: got %v, %+v; want %v, complete %t, more %t, end %d, of %v",
			m.room.Name, q, offsets(got), got, want, complete, more, m.end, m.entries)
	}
}

// lose is what happens when the store loses a part of a room.
func (m *model) lose(p Part) {
	if p == Entries {
		m.entries = nil
		return
	}
	m.begin()
}

// advance is what time advances by in a schedule, a number of times. Whatever expires after 60 s, 300 s
// or 3660 s, no multiple of it comes closer than three seconds. So it doesn't matter that a store's own
// time goes on while a test runs.
const advance = 11 * time.Second

// testModel compares a random schedule with the model. It is the same in each run, unless SALA_SEED
// has the number of another one.
func testModel(t *testing.T, s Subject) {
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SALA_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // it must be repeatable
	rooms := make([]*model, 6)
	for i := range rooms {
		rooms[i] = &model{
			empty: s.EmptyKept, room: room("r"+strconv.Itoa(i), []int{1, 3, 10}[i%3]), past: map[string]bool{"": true}, keyed: map[uint64]modelKeyed{},
		}
	}
	steps := 6000
	if testing.Short() {
		steps = 1000
	}
	for n := range steps {
		m := rooms[r.IntN(len(rooms))]
		switch what := r.IntN(100); {
		case what < 50:
			modelAppend(t, s, r, rooms, n+1)
		case what < 90:
			q := m.query(r)
			m.read(t, q, s.read(t, m.room, q), s.Now())
		case what < 92:
			s.clear(t, m.room)
			m.begin()
			m.used = s.Now()
		case what < 98:
			s.Advance(advance * time.Duration([]int{1, 2, 5}[r.IntN(3)]))
		case what < 99 && s.Lose != nil:
			part := Part(r.IntN(3))
			s.Lose(m.room, part)
			m.lose(part)
		case r.IntN(4) == 0:
			s.Advance(344 * advance) // more than any position is kept
		}
	}
}

// modelAppend appends an entry to one to three rooms. Some entries have a key, and some of those
// are repeats.
func modelAppend(t *testing.T, s Subject, r *rand.Rand, rooms []*model, n int) {
	t.Helper()
	e := s.entry(n)
	if r.IntN(5) == 0 {
		e.IdempotencyKey = "key"
		e.ID.Number = uint64(r.IntN(20)) //nolint:gosec // small
	}
	var to []history.Room
	var models []*model
	for _, i := range r.Perm(len(rooms))[:1+r.IntN(3)] {
		to, models = append(to, rooms[i].room), append(models, rooms[i])
	}
	for i, p := range s.append(t, e, to...) {
		models[i].append(t, e, p)
	}
}

// query returns a random query, often near a place that means something.
func (m *model) query(r *rand.Rand) history.Query {
	q := history.Query{Limit: r.IntN(13)}
	p := history.Position{Epoch: m.epoch, Offset: m.end}
	switch r.IntN(5) {
	case 0:
		return q
	case 1:
		p = history.Position{}
	case 2:
		if len(m.marks) > 0 {
			p = m.marks[len(m.marks)-1-r.IntN(min(len(m.marks), 20))]
		}
	case 3:
		p.Offset += uint64(r.IntN(3)) //nolint:gosec // small
	case 4:
		p.Offset -= min(p.Offset, uint64(r.IntN(13))) //nolint:gosec // small
	}
	if r.IntN(3) == 0 {
		q.Before = &p
	} else {
		q.Since = &p
	}
	return q
}
