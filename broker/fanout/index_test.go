package fanout

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

type member struct{ id, user string }

func (m *member) ID() string   { return m.id }
func (m *member) User() string { return m.user }

// model is the index as anyone would write it first: a list of who is where.
type model map[*member]map[string]bool

func (m model) selects(t Target) []string {
	var ids []string
	for who, rooms := range m {
		in := func(names []string) bool {
			return slices.ContainsFunc(names, func(room string) bool { return rooms[room] })
		}
		selected := t.All || in(t.Rooms) || who.user != "" && slices.Contains(t.Users, who.user) || slices.Contains(t.IDs, who.id)
		if selected && !in(t.ExceptRooms) && !slices.Contains(t.ExceptIDs, who.id) {
			ids = append(ids, who.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m model) sizes() map[string]int {
	sizes := map[string]int{}
	for _, rooms := range m {
		for room := range rooms {
			sizes[room]++
		}
	}
	return sizes
}

// diary is an observer that keeps what it is told as a model of its own.
type diary struct {
	t     *testing.T
	rooms map[string]map[*member]bool
}

func (d *diary) Joined(m *member, room string, opened bool) {
	if opened != (len(d.rooms[room]) == 0) || d.rooms[room][m] {
		d.t.Errorf("%s joined %s, opened %v; in it were %v", m.id, room, opened, d.rooms[room])
	}
	if opened {
		d.rooms[room] = map[*member]bool{}
	}
	d.rooms[room][m] = true
}

func (d *diary) Left(m *member, room string, closed bool) {
	if closed != (len(d.rooms[room]) == 1) || !d.rooms[room][m] {
		d.t.Errorf("%s left %s, closed %v; in it were %v", m.id, room, closed, d.rooms[room])
	}
	delete(d.rooms[room], m)
	if closed {
		delete(d.rooms, room)
	}
}

func (d *diary) sizes() map[string]int {
	sizes := map[string]int{}
	for room, members := range d.rooms {
		sizes[room] = len(members)
	}
	return sizes
}

// TestIndexAgainstModel does random things to an index and to the model, and
// compares what both say.
func TestIndexAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		told := &diary{t, map[string]map[*member]bool{}}
		x, want := New[*member](Limits{Rooms: 4}, told), model{}
		everyone := make([]*member, 12)
		for i := range everyone {
			everyone[i] = &member{id: fmt.Sprintf("id%02d", i), user: []string{"", "ana", "luis"}[i%3]}
		}
		for step := range 2000 {
			m := everyone[r.IntN(len(everyone))]
			room := fmt.Sprint("room", r.IntN(6))
			change(t, x, want, m, room, r.IntN(8))
			if step%10 == 0 {
				compare(t, x, want, randomTarget(r))
				if !maps.Equal(told.sizes(), want.sizes()) {
					t.Errorf("the observer was told of %v, want %v", told.sizes(), want.sizes())
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func change(t *testing.T, x *Index[*member], want model, m *member, room string, what int) {
	rooms, present := want[m]
	switch what {
	case 0:
		told := false
		if err := x.Add(m, []string{room, room}, func() { told = true }); err != nil || told == present {
			t.Errorf("Add: %v, told %v; was a member: %v", err, told, present)
		}
		if !present {
			want[m] = map[string]bool{room: true}
		}
	case 1:
		left, ok := x.Remove(m)
		slices.Sort(left)
		if ok != present || !slices.Equal(left, slices.Sorted(maps.Keys(rooms))) {
			t.Errorf("Remove: %v %v, was in %v", left, ok, rooms)
		}
		delete(want, m)
	case 2:
		cleared := x.Clear(room)
		if len(cleared) != want.sizes()[room] {
			t.Errorf("Clear: %d, were %d", len(cleared), want.sizes()[room])
		}
		for _, rooms := range want {
			delete(rooms, room)
		}
	case 3, 4:
		if left := x.Leave(m, room); (len(left) == 1) != rooms[room] {
			t.Errorf("Leave %s: %v, was in %v", room, left, rooms)
		}
		delete(rooms, room)
	default:
		joined, err := x.Join(m, room, room)
		switch {
		case !present && !errors.Is(err, ErrNotMember),
			present && !rooms[room] && len(rooms) == 4 && !errors.Is(err, ErrTooManyRooms),
			present && (rooms[room] || len(rooms) < 4) && (err != nil || (len(joined) == 1) == rooms[room]):
			t.Errorf("Join %s: %v, %v; was in %v", room, joined, err, rooms)
		}
		if err == nil {
			rooms[room] = true
		}
	}
}

func randomTarget(r *rand.Rand) Target {
	some := func(format string, n int) (names []string) {
		for range r.IntN(3) {
			names = append(names, fmt.Sprintf(format, r.IntN(n)))
		}
		return names
	}
	t := Target{Rooms: some("room%d", 6), IDs: some("id%02d", 14), ExceptIDs: some("id%02d", 12)}
	if r.IntN(2) == 0 {
		t.ExceptRooms = some("room%d", 6)
	}
	if r.IntN(3) == 0 {
		t.Users = []string{"ana", "eva", ""}
	}
	if r.IntN(5) == 0 {
		t = Target{All: true, ExceptRooms: t.ExceptRooms}
	}
	return t
}

func compare(t *testing.T, x *Index[*member], want model, target Target) {
	var got []string
	for _, m := range x.Select(nil, target) {
		got = append(got, m.id)
	}
	slices.Sort(got)
	if !slices.Equal(got, want.selects(target)) {
		t.Errorf("Select %+v: %v, want %v", target, got, want.selects(target))
	}
	sizes := map[string]int{}
	for _, room := range x.Rooms("", "", 100, nil) {
		sizes[room.Name] = room.Members
	}
	if !maps.Equal(sizes, want.sizes()) {
		t.Errorf("Rooms: %v, want %v", sizes, want.sizes())
	}
	if members, rooms := x.Len(); members != len(want) || rooms != len(sizes) {
		t.Errorf("Len: %d, %d; want %d, %d", members, rooms, len(want), len(sizes))
	}
	for m, rooms := range want {
		if got := x.RoomsOf(m); !slices.Equal(got, slices.Sorted(maps.Keys(rooms))) {
			t.Errorf("RoomsOf %s: %v, want %v", m.id, got, rooms)
		}
	}
}

// TestNoJoinIsLost lets members come and go in one room, which opens and
// closes all the time: whoever stays must be found.
func TestNoJoinIsLost(t *testing.T) {
	x := New[*member](Limits{Rooms: 10}, nil)
	const workers, rounds = 8, 2500
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				m := &member{id: fmt.Sprint(w, "-", i)}
				rooms := []string{"room"}
				if i%2 == 0 {
					rooms = nil
				}
				if err := x.Add(m, rooms, func() {}); err != nil {
					t.Error(err)
				}
				if _, err := x.Join(m, "room"); err != nil {
					t.Error(err)
				}
				if !slices.Contains(x.Select(nil, Target{Rooms: []string{"room"}}), m) {
					t.Error("a member is not in the room that it has just joined")
				}
				x.Remove(m)
			}
		})
	}
	wg.Wait()
	if members, rooms := x.Len(); members+rooms != 0 {
		t.Errorf("%d members and %d rooms are left", members, rooms)
	}
}

func TestAddWithTooManyRooms(t *testing.T) {
	x := New[*member](Limits{Rooms: 2}, nil)
	m := &member{id: "id", user: "ana"}
	err := x.Add(m, []string{"a", "b", "c"}, func() { t.Error("told of a member that isn't one") })
	if members, rooms := x.Len(); !errors.Is(err, ErrTooManyRooms) || members+rooms != 0 {
		t.Errorf("%v; %d members, %d rooms", err, members, rooms)
	}
}

func TestListsArePaged(t *testing.T) {
	x := New[*member](Limits{Rooms: 100}, nil)
	for i := range 10 {
		m := &member{id: fmt.Sprint("id", i)}
		if err := x.Add(m, []string{fmt.Sprint("room", i), "all"}, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if got := x.Rooms("room", "room3", 2, nil); !slices.Equal(got, []RoomSize{{"room4", 1}, {"room5", 1}}) {
		t.Errorf("Rooms: %v", got)
	}
	got := x.Members(Target{Rooms: []string{"all"}}, "id7", 5)
	if len(got) != 2 || got[0].id != "id8" || got[1].id != "id9" {
		t.Errorf("Members: %v", got)
	}
}
