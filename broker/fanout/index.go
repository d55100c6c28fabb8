package fanout

import (
	"errors"
	"slices"
	"sync"
)

// ErrTooManyRooms is returned by [Index.Join] when a member would be in more
// rooms than it may.
var ErrTooManyRooms = errors.New("fanout: the member is in as many rooms as it may be")

// ErrTooManyOfUser is returned by [Index.Add] when a user would have more
// members than it may.
var ErrTooManyOfUser = errors.New("fanout: the user has as many members as it may have")

// ErrNotMember is returned by [Index.Join] for a member that isn't in the
// index, or no longer.
var ErrNotMember = errors.New("fanout: not a member")

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
// Who is in a room stands in a slice, and each member knows its place in the
// slices that it is in. So to select a room is to copy a slice, and to leave
// one takes the same time whatever its size.
type Index[M Member] struct {
	// Static.
	limits   Limits
	observer Observer[M]

	mu      sync.RWMutex
	members map[string]*entry[M] // by id
	all     []*entry[M]
	rooms   map[string][]*entry[M]
	users   map[string][]*entry[M]
}

// entry is a member and its places.
type entry[M Member] struct {
	member M
	inAll  int
	inUser int
	rooms  map[string]int
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
	return &Index[M]{
		limits:   limits,
		observer: observer,
		members:  make(map[string]*entry[M]),
		rooms:    make(map[string][]*entry[M]),
		users:    make(map[string][]*entry[M]),
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
	user := m.User()
	if user != "" && x.limits.PerUser > 0 && len(x.users[user]) >= x.limits.PerUser {
		return ErrTooManyOfUser
	}
	e := &entry[M]{member: m, inAll: len(x.all)}
	joined, err := x.join(e, rooms)
	if err != nil {
		return err
	}
	x.members[m.ID()] = e
	x.all = append(x.all, e)
	if user != "" {
		e.inUser = len(x.users[user])
		x.users[user] = append(x.users[user], e)
	}
	then()
	x.tellJoined(e, joined)
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
	for room := range e.rooms {
		rooms = append(rooms, room)
		x.leave(e, room)
	}
	if user := m.User(); user != "" {
		x.users[user] = take(x.users[user], e.inUser, func(moved *entry[M]) { moved.inUser = e.inUser })
		if len(x.users[user]) == 0 {
			delete(x.users, user)
		}
	}
	x.all = take(x.all, e.inAll, func(moved *entry[M]) { moved.inAll = e.inAll })
	delete(x.members, m.ID())
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
	x.tellJoined(e, joined)
	return joined, err
}

// join puts e into all the rooms or none. The caller holds mu.
func (x *Index[M]) join(e *entry[M], rooms []string) (joined []string, err error) {
	for _, room := range rooms {
		if _, ok := e.rooms[room]; !ok && !slices.Contains(joined, room) {
			joined = append(joined, room)
		}
	}
	if len(e.rooms)+len(joined) > x.limits.Rooms {
		return nil, ErrTooManyRooms
	}
	if e.rooms == nil && len(joined) > 0 {
		e.rooms = make(map[string]int, len(joined))
	}
	for _, room := range joined {
		e.rooms[room] = len(x.rooms[room])
		x.rooms[room] = append(x.rooms[room], e)
	}
	return joined, nil
}

// tellJoined tells the observer which rooms e has just joined. The caller holds
// mu.
func (x *Index[M]) tellJoined(e *entry[M], rooms []string) {
	if x.observer == nil {
		return
	}
	for _, room := range rooms {
		x.observer.Joined(e.member, room, len(x.rooms[room]) == 1)
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
	for _, room := range rooms {
		if _, ok := e.rooms[room]; ok {
			x.leave(e, room)
			left = append(left, room)
		}
	}
	return left
}

// leave takes e out of a room that it is in, and the room away with its last
// member. The caller holds mu.
func (x *Index[M]) leave(e *entry[M], room string) {
	place := e.rooms[room]
	delete(e.rooms, room)
	left := take(x.rooms[room], place, func(moved *entry[M]) { moved.rooms[room] = place })
	if len(left) == 0 {
		delete(x.rooms, room)
	} else {
		x.rooms[room] = left
	}
	if x.observer != nil {
		x.observer.Left(e.member, room, len(left) == 0)
	}
}

// Clear takes everybody out of room in one step and returns who was in it:
// nobody can join in between and be overlooked.
func (x *Index[M]) Clear(room string) []M {
	x.mu.Lock()
	defer x.mu.Unlock()
	entries := x.rooms[room]
	delete(x.rooms, room)
	members := make([]M, 0, len(entries))
	for i, e := range entries {
		delete(e.rooms, room)
		members = append(members, e.member)
		if x.observer != nil {
			x.observer.Left(e.member, room, i == len(entries)-1)
		}
	}
	return members
}

// take removes the entry at a place by moving the last one there, of which it
// tells. A slice that has become much too long for its entries is replaced.
func take[M Member](from []*entry[M], place int, tell func(moved *entry[M])) []*entry[M] {
	last := len(from) - 1
	if place != last {
		from[place] = from[last]
		tell(from[place])
	}
	from[last] = nil
	from = from[:last]
	if cap(from) > 64 && len(from) < cap(from)/4 {
		from = slices.Clip(slices.Clone(from))
	}
	return from
}
