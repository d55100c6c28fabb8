package room

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

type member struct{ id, user string }

func (m *member) ID() string   { return m.id }
func (m *member) User() string { return m.user }

// model is the simplest possible index: the rooms of each member.
type model map[*member]map[string]bool

func (m model) selectIDs(t Target) []string {
	var ids []string
	for who, rooms := range m {
		in := func(names []string) bool {
			return slices.ContainsFunc(names, func(room string) bool { return rooms[room] })
		}
		selected := t.Everyone || in(t.Rooms) || who.user != "" && slices.Contains(t.Users, who.user) || slices.Contains(t.Sockets, who.id)
		excepted := in(t.ExceptRooms) || who.user != "" && slices.Contains(t.ExceptUsers, who.user) || slices.Contains(t.ExceptSockets, who.id)
		if selected && !excepted {
			ids = append(ids, who.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// page returns what [Index.Members] should.
func (m model) page(f Filter, after string, limit int) (ids []string) {
	for who, rooms := range m {
		if (f.Room == "" || rooms[f.Room]) && (f.User == "" || who.user == f.User) && who.id > after {
			ids = append(ids, who.id)
		}
	}
	slices.Sort(ids)
	return ids[:min(limit, len(ids))]
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

// recorder is an observer that rebuilds the rooms from what it is told.
type recorder struct {
	t     *testing.T
	rooms map[string]map[*member]bool
	users map[string]bool
}

func (r *recorder) Joined(m *member, room string, opened, first bool) {
	if first != (m.user != "" && !r.hasUser(m.user, room)) {
		r.t.Errorf("%s of %q joined %s, first %v; in it were %v", m.id, m.user, room, first, r.rooms[room])
	}
	if opened != (len(r.rooms[room]) == 0) || r.rooms[room][m] {
		r.t.Errorf("%s joined %s, opened %v; in it were %v", m.id, room, opened, r.rooms[room])
	}
	if opened {
		r.rooms[room] = map[*member]bool{}
	}
	r.rooms[room][m] = true
}

func (r *recorder) Left(m *member, room string, closed, last bool) {
	if closed != (len(r.rooms[room]) == 1) || !r.rooms[room][m] {
		r.t.Errorf("%s left %s, closed %v; in it were %v", m.id, room, closed, r.rooms[room])
	}
	delete(r.rooms[room], m)
	if last != (m.user != "" && !r.hasUser(m.user, room)) {
		r.t.Errorf("%s of %q left %s, last %v; in it are %v", m.id, m.user, room, last, r.rooms[room])
	}
	if closed {
		delete(r.rooms, room)
	}
}

func (r *recorder) Came(m *member) {
	if m.user == "" || r.users[m.user] {
		r.t.Errorf("%s of %q came as the first", m.id, m.user)
	}
	r.users[m.user] = true
}

func (r *recorder) Gone(m *member) {
	if !r.users[m.user] {
		r.t.Errorf("%s of %q was the last, but nobody came", m.id, m.user)
	}
	delete(r.users, m.user)
}

func (r *recorder) hasUser(user, room string) bool {
	for m := range r.rooms[room] {
		if m.user == user {
			return true
		}
	}
	return false
}

func (r *recorder) sizes() map[string]int {
	sizes := map[string]int{}
	for room, members := range r.rooms {
		sizes[room] = len(members)
	}
	return sizes
}

// world is how many members and rooms a test has, and the most rooms of a member.
type world struct{ members, rooms, limit int }

// Applies random changes to an index and to the model and compares the two: in a small world, where
// the same few members and rooms change often, and in a large one, which needs the tables.
func TestIndexAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := world{members: 12, rooms: 6, limit: 4}
		if seed%3 == 2 {
			w = world{members: 60, rooms: 3 * maxScanned, limit: 2 * maxScanned}
		}
		told := &recorder{t, map[string]map[*member]bool{}, map[string]bool{}}
		x, want := NewIndex[*member](Limits{Rooms: w.limit}, told), model{}
		everyone := make([]*member, w.members)
		for i := range everyone {
			everyone[i] = &member{id: fmt.Sprintf("id%02d", i), user: []string{"", "ana", "luis"}[i%3]}
		}
		for step := range 2000 {
			m := everyone[r.IntN(len(everyone))]
			room := fmt.Sprint("room", r.IntN(w.rooms))
			what := r.IntN(8)
			if what <= 2 && w.members > 12 && r.IntN(3) > 0 {
				what = 5 // join, or few members would be in many rooms
			}
			change(t, x, want, m, room, what, w.limit)
			if step%10 == 0 {
				compare(t, x, want, w.target(r))
				compareLists(t, x, want, r, w)
				compareUsers(t, x, want, r, w)
				if !maps.Equal(told.sizes(), want.sizes()) {
					t.Errorf("the observer got %v, want %v", told.sizes(), want.sizes())
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func change(t *testing.T, x *Index[*member], want model, m *member, room string, what, limit int) {
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
			present && !rooms[room] && len(rooms) == limit && !errors.Is(err, ErrTooManyRooms),
			present && (rooms[room] || len(rooms) < limit) && (err != nil || (len(joined) == 1) == rooms[room]):
			t.Errorf("Join %s: %v, %v; was in %v", room, joined, err, rooms)
		}
		if err == nil {
			rooms[room] = true
		}
	}
}

func (w world) target(r *rand.Rand) Target {
	most := 3
	if r.IntN(4) == 0 {
		most = 2 * w.rooms // with repeated names
	}
	some := func(format string, n int) (names []string) {
		for range r.IntN(most) {
			names = append(names, fmt.Sprintf(format, r.IntN(n)))
		}
		return names
	}
	t := Target{Rooms: some("room%d", w.rooms), Sockets: some("id%02d", w.members+2), ExceptSockets: some("id%02d", w.members)}
	if r.IntN(2) == 0 {
		t.ExceptRooms = some("room%d", w.rooms)
	}
	if r.IntN(3) == 0 {
		t.Users = []string{"ana", "eva", "", "ana"}
	}
	if r.IntN(3) == 0 {
		t.ExceptUsers = []string{"eva", "", "nobody", "eva"}
	}
	if r.IntN(5) == 0 {
		t = Target{Everyone: true, ExceptRooms: t.ExceptRooms, ExceptUsers: t.ExceptUsers, ExceptSockets: t.ExceptSockets}
	}
	return t
}

func compare(t *testing.T, x *Index[*member], want model, target Target) {
	var got []string
	for _, m := range x.Select(nil, target) {
		got = append(got, m.id)
	}
	slices.Sort(got)
	if !slices.Equal(got, want.selectIDs(target)) {
		t.Errorf("Select %+v: %v, want %v", target, got, want.selectIDs(target))
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

// compareLists compares random pages of the lists, and the counts of a room.
func compareLists(t *testing.T, x *Index[*member], want model, r *rand.Rand, w world) {
	room, limit := fmt.Sprint("room", r.IntN(w.rooms)), r.IntN(w.members)
	f := Filter{[]string{"", room}[r.IntN(2)], []string{"", "ana", "eva"}[r.IntN(3)]}
	after := []string{"", fmt.Sprintf("id%02d", r.IntN(w.members))}[r.IntN(2)]
	page := want.page(f, after, limit)
	if got := ids(x.Members(f, after, limit)); !slices.Equal(got, page) {
		t.Errorf("Members %+v after %q: %v, want %v", f, after, got, page)
	}
	// A scan finds the same where Members gathers.
	if got := ids(x.scan(f, after, limit)); !slices.Equal(got, page) {
		t.Errorf("scan %+v after %q: %v, want %v", f, after, got, page)
	}

	prefix, odd := []string{"", "room1", "room2", "s"}[r.IntN(4)], func(room string) bool { return room[len(room)-1]%2 == 1 }
	keep := []func(string) bool{nil, odd}[r.IntN(2)]
	var sizes []Size
	for name, n := range want.sizes() {
		if name > room && strings.HasPrefix(name, prefix) && (keep == nil || odd(name)) {
			sizes = append(sizes, Size{name, n})
		}
	}
	slices.SortFunc(sizes, func(a, b Size) int { return strings.Compare(a.Name, b.Name) })
	sizes = sizes[:min(limit, len(sizes))]
	if got := x.Rooms(prefix, room, limit, keep); !slices.Equal(got, sizes) {
		t.Errorf("Rooms %q after %q: %v, want %v", prefix, room, got, sizes)
	}

	users := map[string]bool{}
	for who, rooms := range want {
		if rooms[room] {
			users[who.user] = true
		}
	}
	if members, n := x.Room(room); members != want.sizes()[room] || n != len(users) {
		t.Errorf("Room: %d of %d users, want %d of %d", members, n, want.sizes()[room], len(users))
	}
	delete(users, "")
	if members, n := x.CountUsers(room); members != want.sizes()[room] || n != len(users) {
		t.Errorf("CountUsers: %d of %d users, want %d of %d", members, n, want.sizes()[room], len(users))
	}
	all := map[string]bool{}
	for who := range want {
		if who.user != "" {
			all[who.user] = true
		}
	}
	if members, n := x.CountUsers(""); members != len(want) || n != len(all) {
		t.Errorf("CountUsers of all: %d of %d users, want %d of %d", members, n, len(want), len(all))
	}
	ofUser := ids(x.OfUser(f.User, f.Room))
	slices.Sort(ofUser)
	if f.User != "" && !slices.Equal(ofUser, want.page(f, "", len(want))) || f.User == "" && len(ofUser) > 0 {
		t.Errorf("OfUser %+v: %v, want %v", f, ofUser, want.page(f, "", len(want)))
	}
	inside := ids(x.InRoom(room))
	slices.Sort(inside)
	if all := want.selectIDs(Target{Rooms: []string{room}}); !slices.Equal(inside, all) {
		t.Errorf("InRoom: %v, want %v", inside, all)
	}
}

// compareUsers compares a random page of users.
func compareUsers(t *testing.T, x *Index[*member], want model, r *rand.Rand, w world) {
	room := []string{"", fmt.Sprint("room", r.IntN(w.rooms))}[r.IntN(2)]
	prefix, after, limit := []string{"", "e"}[r.IntN(2)], []string{"", "ana", "b"}[r.IntN(3)], 1+r.IntN(3)
	all := map[string][]string{}
	for who, rooms := range want {
		if who.user > after && strings.HasPrefix(who.user, prefix) && (room == "" || rooms[room]) {
			all[who.user] = append(all[who.user], who.id)
		}
	}
	names := slices.Sorted(maps.Keys(all))
	names = names[:min(limit, len(names))]
	// A scan finds the same where Users gathers.
	for how, users := range map[string]func(room, prefix, after string, limit int) []UserMembers[*member]{"Users": x.Users, "scanUsers": x.scanUsers} {
		got := users(room, prefix, after, limit)
		if !slices.EqualFunc(got, names, func(u UserMembers[*member], name string) bool {
			have := ids(u.Members)
			slices.Sort(have)
			slices.Sort(all[name])
			return u.User == name && slices.Equal(have, all[name])
		}) {
			t.Errorf("%s of %q with %q after %q: %v, want %v", how, room, prefix, after, got, names)
		}
	}
}

func ids(members []*member) (ids []string) {
	for _, m := range members {
		ids = append(ids, m.id)
	}
	return ids
}

// Members join and leave one room, which opens and closes all the time. Each must be found while it
// is in.
func TestNoJoinIsLost(t *testing.T) {
	x := NewIndex[*member](Limits{Rooms: 10}, nil)
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

func TestAddRefusesTooManyRooms(t *testing.T) {
	x := NewIndex[*member](Limits{Rooms: 2}, nil)
	m := &member{id: "id", user: "ana"}
	err := x.Add(m, []string{"a", "b", "c"}, func() { t.Error("then was called for a member that was refused") })
	if members, rooms := x.Len(); !errors.Is(err, ErrTooManyRooms) || members+rooms != 0 {
		t.Errorf("%v; %d members, %d rooms", err, members, rooms)
	}
}

func TestListsArePaged(t *testing.T) {
	x := NewIndex[*member](Limits{Rooms: 100}, nil)
	for i := range 10 {
		m := &member{id: fmt.Sprint("id", i)}
		if err := x.Add(m, []string{fmt.Sprint("room", i), "all"}, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if got := x.Rooms("room", "room3", 2, nil); !slices.Equal(got, []Size{{"room4", 1}, {"room5", 1}}) {
		t.Errorf("Rooms: %v", got)
	}
	got := x.Members(Filter{Room: "all"}, "id7", 5)
	if len(got) != 2 || got[0].id != "id8" || got[1].id != "id9" {
		t.Errorf("Members: %v", got)
	}
}

// Lists that take several chunks, between which the index changes.
func TestLongLists(t *testing.T) {
	const n = 10 * chunk
	x := NewIndex[*member](Limits{Rooms: 2}, nil)
	members := make([]*member, n)
	for i := range members {
		members[i] = &member{id: fmt.Sprintf("id%06d", i), user: fmt.Sprint("user", i%2)}
		if err := x.Add(members[i], []string{fmt.Sprintf("room%06d", i), "all"}, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	looked := 0
	last := func(room string) bool { looked++; return room == fmt.Sprintf("room%06d", n-1) }
	if got := x.Rooms("", "", 100, last); !slices.Equal(got, []Size{{fmt.Sprintf("room%06d", n-1), 1}}) || looked != n+1 {
		t.Errorf("the last room: %v after a look at %d", got, looked)
	}
	looked = 0
	if got := x.Rooms("", "room", 10, func(string) bool { looked++; return true }); len(got) != 10 || looked != 10 {
		t.Errorf("a page of 10: %v after a look at %d", got, looked)
	}
	if got := x.Members(Filter{Room: "all", User: "user1"}, "id000004", 2); !slices.Equal(ids(got), []string{"id000005", "id000007"}) {
		t.Errorf("a page of members: %v", ids(got))
	}

	done := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			m := members[1+2*(i%(n/2))] // the odd ones
			select {
			case <-done:
				return
			default:
			}
			x.Remove(m)
			_ = x.Add(m, []string{fmt.Sprintf("room%06d", i%n), "all"}, func() {}) // within all limits
		}
	})
	for range 20 {
		got := ids(x.Members(Filter{User: "user0"}, "", n))
		if len(got) != n/2 || !slices.IsSorted(got) {
			t.Errorf("%d members stayed, listed are %d", n/2, len(got))
		}
	}
	close(done)
	changing.Wait()
}

// A user with more and then with fewer members than are scanned.
func TestCountsUsers(t *testing.T) {
	x := NewIndex[*member](Limits{Rooms: 100}, nil)
	var members []*member
	for i := range 3 * maxScannedMembers {
		m := &member{id: fmt.Sprint("id", i), user: "ana"}
		members = append(members, m)
		if err := x.Add(m, []string{"all", fmt.Sprint("room", i%2)}, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	for left := len(members); left > 0; left-- {
		for _, room := range []string{"all", "room0", "room1"} {
			members, users := x.Room(room)
			if want := min(members, 1); users != want {
				t.Errorf("%d of %d members are in %s: %d users", members, left, room, users)
			}
		}
		x.Remove(members[left-1])
	}
	if _, users := x.Room("all"); users != 0 || len(x.users) != 0 {
		t.Errorf("%d users and %d in all are left", users, len(x.users))
	}
}
