package room

import (
	"errors"
	"slices"
	"sync"

	"github.com/tidwall/btree"
)

// ErrTooManyRooms is returned by [Index.Add] and [Index.Join] when a member would be in more than
// [Limits.Rooms].
var ErrTooManyRooms = errors.New("room: the member is in too many rooms")

// ErrTooManyOfUser is returned by [Index.Add] when a user would have more than [Limits.PerUser]
// members.
var ErrTooManyOfUser = errors.New("room: the user has too many members")

// ErrNotMember is returned by [Index.Join] for a member that isn't in the index, or no longer.
var ErrNotMember = errors.New("room: not a member")

// Member is what an [Index] holds. Its ID and User must never change.
type Member interface {
	comparable
	// ID is unique among the members of an index.
	ID() string
	// User is the user that the member belongs to; empty for none.
	User() string
}

// Observer learns of every join and leave, in order. Its methods are called with the index locked:
// they must neither wait for anything nor call the index. Members without a user are never the
// first or the last of one.
type Observer[M Member] interface {
	// Joined is called when m has joined the room. opened is true for the first member, and first
	// for the first one of its user.
	Joined(m M, room string, opened, first bool)
	// Left is called when m has left the room. closed is true for the last member, and last for the
	// last one of its user.
	Left(m M, room string, closed, last bool)
	// Came is called when m is the first member of its user, before it joins rooms.
	Came(m M)
	// Gone is called when m was the last member of its user, after it has left its rooms.
	Gone(m M)
}

// Index holds the members of a namespace and the rooms that they are in. All methods may be called
// concurrently.
//
// A room lists its members and a member lists its rooms. Each entry of one list holds the position
// of its counterpart in the other. So selecting a room copies one slice, and joining or leaving a
// room takes constant time.
//
// Rooms and members are also kept sorted, so that listing a page takes time for the page alone: see
// list.go.
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
	order   userOrder[M]
}

// entry is a member and its positions.
type entry[M Member] struct {
	member M
	id     string         // the member's
	user   *user[M]       // nil if the member has no user
	inAll  int32          // in Index.all
	inUser int32          // in user.entries
	rooms  joinedRooms[M] // the rooms that the member is in
}

// Limits bounds what an [Index] holds.
type Limits struct {
	// Rooms is the most rooms that a member may be in.
	Rooms int
	// PerUser is the most members that a user may have; zero means no limit.
	PerUser int
}

// NewIndex returns an empty index. observer may be nil.
func NewIndex[M Member](limits Limits, observer Observer[M]) *Index[M] {
	unlocked := btree.Options{NoLocks: true} // mu guards them
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

// find returns m's entry, or nil if m isn't a member. The caller holds mu.
func (x *Index[M]) find(m M) *entry[M] {
	if e, ok := x.members[m.ID()]; ok && e.member == m {
		return e
	}
	return nil
}

// Add makes m a member and puts it into the rooms. It calls then before any other call can find m:
// then must neither wait for anything nor call the index. If Add returns [ErrTooManyRooms] or
// [ErrTooManyOfUser], m isn't a member. Adding a member again does nothing.
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
		if e.user != nil {
			x.removeFromUser(e)
		}
		return err
	}
	x.members[e.id] = e
	x.all = append(x.all, e)
	x.byID.Set(e)
	then()
	if x.observer != nil && e.user != nil && len(e.user.entries) == 1 {
		x.observer.Came(m)
	}
	x.notifyJoined(e, len(joined))
	return nil
}

// Remove takes m out of the index and out of all its rooms, and returns those. ok is false if m
// wasn't a member.
func (x *Index[M]) Remove(m M) (rooms []string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.find(m)
	if e == nil {
		return nil, false
	}
	return x.remove(e), true
}

// remove takes a member out of the index and out of all its rooms, and returns those. The caller
// holds mu.
func (x *Index[M]) remove(e *entry[M]) (rooms []string) {
	rooms = make([]string, 0, e.rooms.len())
	for e.rooms.len() > 0 {
		r := e.rooms.last()
		rooms = append(rooms, r.name)
		x.leave(e, r)
	}
	if e.user != nil {
		x.removeFromUser(e)
		if x.observer != nil && len(e.user.entries) == 0 {
			x.observer.Gone(e.member)
		}
	}
	x.all = removeAt(x.all, e.inAll, func(moved *entry[M]) { moved.inAll = e.inAll })
	x.byID.Delete(e)
	delete(x.members, e.id)
	return rooms
}

// RemoveFrom is Remove if m is in exactly these rooms, which are sorted. Otherwise it changes nothing
// and returns the rooms that m is in, sorted; nil if m isn't a member.
func (x *Index[M]) RemoveFrom(m M, rooms []string) (others []string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.find(m)
	if e == nil {
		return nil, false
	}
	in := e.roomNames()
	slices.Sort(in)
	if !slices.Equal(in, rooms) {
		return in, false
	}
	x.remove(e)
	return nil, true
}

// Join puts m into all the rooms or, if it returns [ErrNotMember] or [ErrTooManyRooms], into none.
// It returns the rooms that m wasn't in before.
func (x *Index[M]) Join(m M, rooms ...string) (joined []string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.find(m)
	if e == nil {
		return nil, ErrNotMember
	}
	joined, err = x.join(e, rooms)
	x.notifyJoined(e, len(joined))
	return joined, err
}

// join puts e into all the rooms or none, and doesn't notify the observer. The caller holds mu.
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

// notifyJoined tells the observer that e has just joined the last n of its rooms. The caller holds
// mu.
func (x *Index[M]) notifyJoined(e *entry[M], n int) {
	if x.observer == nil {
		return
	}
	for _, p := range e.rooms.list[e.rooms.len()-n:] {
		x.observer.Joined(e.member, p.room.name, len(p.room.members) == 1, p.first)
	}
}

// Leave takes m out of the rooms and returns those that it was in.
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

// leave takes e out of a room that it is in and tells the observer. The caller holds mu.
func (x *Index[M]) leave(e *entry[M], r *room[M]) {
	closed, last := x.drop(e, r)
	if x.observer != nil {
		x.observer.Left(e.member, r.name, closed, last)
	}
}

// drop takes e out of a room that it is in, and closes the room if it has no members left. last says
// that e was the last member of its user there. The caller holds mu.
func (x *Index[M]) drop(e *entry[M], r *room[M]) (closed, last bool) {
	last = r.remove(e)
	if len(r.members) > 0 {
		return false, last
	}
	delete(x.rooms, r.name)
	x.byName.Delete(r)
	return true, last
}

// Clear takes all members out of a room in one step and returns them. No join can slip in between.
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

// removeAt removes the entry at a position by moving the last one there. It calls moved with that
// one.
func removeAt[M Member](from []*entry[M], at int32, moved func(*entry[M])) []*entry[M] {
	last := len(from) - 1
	if int(at) != last {
		from[at] = from[last]
		moved(from[at])
	}
	from[last] = nil
	return shrink(from[:last])
}

// shrink copies a slice whose capacity has become much too large, so that its memory can be freed.
func shrink[T any](s []T) []T {
	if cap(s) > 64 && len(s) < cap(s)/4 {
		return slices.Clip(slices.Clone(s))
	}
	return s
}
