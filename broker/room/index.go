package room

import (
	"errors"
	"slices"
	"sync"

	"github.com/tidwall/btree"
)

// ErrTooManyRooms is returned by [Index.Join] when a member would be in more
// rooms than it may.
var ErrTooManyRooms = errors.New("room: the member is in as many rooms as it may be")

// ErrTooManyOfUser is returned by [Index.Add] when a user would have more
// members than it may.
var ErrTooManyOfUser = errors.New("room: the user has as many members as it may have")

// ErrNotMember is returned by [Index.Join] for a member that isn't in the
// index, or no longer.
var ErrNotMember = errors.New("room: not a member")

// Member is what an [Index] holds. ID and User must never change.
type Member interface {
	comparable
	// ID is unique among the members of an index.
	ID() string
	// User is the user that the member belongs to; empty for nobody.
	User() string
}

// Observer is told of every change of who is in which room, in the order in
// which the changes happen. Its methods are called with the index locked: they
// must not wait for anything, nor call the index.
type Observer[M Member] interface {
	// Joined says that m is in the room now; opened, that it is the first.
	Joined(m M, room string, opened bool)
	// Left says that m is in the room no more; closed, that it was the last.
	Left(m M, room string, closed bool)
}

// Index knows the members of a namespace and the rooms that they are in. All
// methods may be called concurrently.
//
// A room lists its members and a member its rooms, and each entry of either list
// knows its counterpart's place. So to select a room is to copy a slice, and to
// leave one takes the same time whatever its size.
//
// Rooms and members are also kept in order, so that a page of a list costs its
// own size, however many there are: see query.go.
type Index[M Member] struct {
	// Static.
	limits   Limits
	observer Observer[M]

	mu      sync.RWMutex
	members map[string]*entry[M] // by id
	all     []*entry[M]
	byID    *btree.BTreeG[*entry[M]]
	rooms   map[string]*room[M] // by name
	byName  *btree.BTreeG[*room[M]]
	users   map[string]*user[M] // by name
}

// entry is a member and its places.
type entry[M Member] struct {
	member M
	id     string   // the member's
	user   *user[M] // nil for a member of nobody
	inAll  int32
	inUser int32
	rooms  places[M]
}

// Limits bounds what an [Index] holds.
type Limits struct {
	// Rooms is in how many rooms a member may be.
	Rooms int
	// PerUser is how many members a user may have; zero means no limit.
	PerUser int
}

// New returns an empty index that tells observer of what changes; nil tells
// nobody.
func New[M Member](limits Limits, observer Observer[M]) *Index[M] {
	unlocked := btree.Options{NoLocks: true} // they are used under mu
	return &Index[M]{
		limits:   limits,
		observer: observer,
		members:  make(map[string]*entry[M]),
		byID: btree.NewBTreeGOptions(func(a, b *entry[M]) bool {
			return a.id < b.id
		}, unlocked),
		rooms:  make(map[string]*room[M]),
		byName: btree.NewBTreeGOptions(func(a, b *room[M]) bool { return a.name < b.name }, unlocked),
		users:  make(map[string]*user[M]),
	}
}

// find returns m's entry, nil if m is no member. The caller holds mu.
func (x *Index[M]) find(m M) *entry[M] {
	if e, ok := x.members[m.ID()]; ok && e.member == m {
		return e
	}
	return nil
}

// Add makes m a member that is in the rooms, and calls then before anyone can
// find it: then must not wait for anything, nor call the index. If a limit is
// in the way m doesn't become a member; adding one again does nothing.
func (x *Index[M]) Add(m M, rooms []string, then func()) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.find(m) != nil {
		return nil
	}
	e := &entry[M]{member: m, id: m.ID(), inAll: int32(len(x.all))} //nolint:gosec // bounded by file descriptors
	if err := x.addToUser(e); err != nil {
		return err
	}
	joined, err := x.join(e, rooms)
	if err != nil {
		x.removeFromUser(e)
		return err
	}
	x.members[e.id] = e
	x.all = append(x.all, e)
	x.byID.Set(e)
	then()
	x.tellJoined(e, len(joined))
	return nil
}

// Remove takes m out of the index and of all its rooms, which it returns.
// ok is false if m was no member.
func (x *Index[M]) Remove(m M) (rooms []string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.find(m)
	if e == nil {
		return nil, false
	}
	rooms = make([]string, 0, e.rooms.len())
	for e.rooms.len() > 0 {
		r := e.rooms.last()
		rooms = append(rooms, r.name)
		x.leave(e, r)
	}
	x.removeFromUser(e)
	x.all = take(x.all, e.inAll, func(moved *entry[M]) { moved.inAll = e.inAll })
	x.byID.Delete(e)
	delete(x.members, e.id)
	return rooms, true
}

// Join puts m into all the rooms or, if it returns an error, into none. It
// returns the rooms in which m was not yet.
func (x *Index[M]) Join(m M, rooms ...string) (joined []string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.find(m)
	if e == nil {
		return nil, ErrNotMember
	}
	joined, err = x.join(e, rooms)
	x.tellJoined(e, len(joined))
	return joined, err
}

// join puts e into all the rooms or none. The caller holds mu.
func (x *Index[M]) join(e *entry[M], rooms []string) (joined []string, err error) {
	for _, name := range rooms {
		r, ok := x.rooms[name]
		if ok && e.in(r) {
			continue
		}
		if e.rooms.len() >= x.limits.Rooms {
			for range joined {
				x.drop(e, e.rooms.last())
			}
			return nil, ErrTooManyRooms
		}
		if !ok {
			r = &room[M]{name: name}
			x.rooms[name] = r
			x.byName.Set(r)
		}
		r.add(e)
		joined = append(joined, name)
	}
	return joined, nil
}

// tellJoined tells the observer of the last n rooms of e, which it has just
// joined. The caller holds mu.
func (x *Index[M]) tellJoined(e *entry[M], n int) {
	if x.observer == nil {
		return
	}
	for _, p := range e.rooms.list[e.rooms.len()-n:] {
		x.observer.Joined(e.member, p.room.name, len(p.room.members) == 1)
	}
}

// Leave takes m out of the rooms and returns those in which it was.
func (x *Index[M]) Leave(m M, rooms ...string) (left []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.find(m)
	if e == nil {
		return nil
	}
	for _, name := range rooms {
		if r, ok := x.rooms[name]; ok && e.in(r) {
			x.leave(e, r)
			left = append(left, name)
		}
	}
	return left
}

// leave takes e out of a room that it is in and tells the observer. The caller
// holds mu.
func (x *Index[M]) leave(e *entry[M], r *room[M]) {
	closed := x.drop(e, r)
	if x.observer != nil {
		x.observer.Left(e.member, r.name, closed)
	}
}

// drop takes e out of a room that it is in, and the room away with its last
// member, which it reports. The caller holds mu.
func (x *Index[M]) drop(e *entry[M], r *room[M]) (closed bool) {
	r.remove(e)
	if len(r.members) > 0 {
		return false
	}
	delete(x.rooms, r.name)
	x.byName.Delete(r)
	return true
}

// Clear takes everybody out of room in one step and returns who was in it:
// nobody can join in between and be overlooked.
func (x *Index[M]) Clear(room string) []M {
	x.mu.Lock()
	defer x.mu.Unlock()
	r, ok := x.rooms[room]
	if !ok {
		return nil
	}
	members := make([]M, 0, len(r.members))
	for len(r.members) > 0 {
		e := r.members[len(r.members)-1].entry
		members = append(members, e.member)
		x.leave(e, r)
	}
	return members
}

// take removes the entry at a place by moving the last one there, of which it
// tells.
func take[M Member](from []*entry[M], place int32, tell func(moved *entry[M])) []*entry[M] {
	last := len(from) - 1
	if int(place) != last {
		from[place] = from[last]
		tell(from[place])
	}
	from[last] = nil
	return shrink(from[:last])
}

// shrink replaces a slice that has become much too long for what is in it.
func shrink[T any](s []T) []T {
	if cap(s) > 64 && len(s) < cap(s)/4 {
		return slices.Clip(slices.Clone(s))
	}
	return s
}
