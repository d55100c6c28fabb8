package fanout

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// ErrTooManyRooms is returned by [Index.Join] when a member would be in more
// rooms than it may.
var ErrTooManyRooms = errors.New("fanout: the member is in as many rooms as it may be")

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

// Target selects members: those in one of Rooms, of one of Users or with one
// of IDs, or all; less those in one of ExceptRooms or with one of ExceptIDs.
type Target struct {
	All                    bool
	Rooms, Users, IDs      []string
	ExceptRooms, ExceptIDs []string
}

// Index knows the members of a namespace and the rooms that they are in. All
// methods may be called concurrently.
type Index[M Member] struct {
	maxRooms int

	mu    sync.RWMutex
	ids   map[string]M
	in    map[M]set[string] // member → its rooms
	rooms map[string]set[M]
	users map[string]set[M]
}

type set[T comparable] map[T]struct{}

// New returns an empty index whose members may be in maxRooms rooms each.
func New[M Member](maxRooms int) *Index[M] {
	return &Index[M]{
		maxRooms: maxRooms,
		ids:      make(map[string]M),
		in:       make(map[M]set[string]),
		rooms:    make(map[string]set[M]),
		users:    make(map[string]set[M]),
	}
}

// Add makes m a member, in no room yet. Adding a member again does nothing.
func (x *Index[M]) Add(m M) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.in[m]; ok {
		return
	}
	x.ids[m.ID()] = m
	x.in[m] = nil
	if user := m.User(); user != "" {
		add(x.users, user, m)
	}
}

// Remove takes m out of the index and of all its rooms, which it returns.
// ok is false if m was no member.
func (x *Index[M]) Remove(m M) (rooms []string, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in, ok := x.in[m]
	if !ok {
		return nil, false
	}
	for room := range in {
		remove(x.rooms, room, m)
		rooms = append(rooms, room)
	}
	if user := m.User(); user != "" {
		remove(x.users, user, m)
	}
	delete(x.in, m)
	delete(x.ids, m.ID())
	return rooms, true
}

// Join puts m into all the rooms or, if it returns an error, into none. It
// returns the rooms in which m was not yet.
func (x *Index[M]) Join(m M, rooms ...string) (joined []string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in, ok := x.in[m]
	if !ok {
		return nil, ErrNotMember
	}
	for _, room := range rooms {
		if _, ok := in[room]; !ok && !slices.Contains(joined, room) {
			joined = append(joined, room)
		}
	}
	if len(in)+len(joined) > x.maxRooms {
		return nil, ErrTooManyRooms
	}
	if in == nil && len(joined) > 0 {
		in = make(set[string], len(joined))
		x.in[m] = in
	}
	for _, room := range joined {
		in[room] = struct{}{}
		add(x.rooms, room, m)
	}
	return joined, nil
}

// Leave takes m out of the rooms and returns those in which it was.
func (x *Index[M]) Leave(m M, rooms ...string) (left []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	in := x.in[m]
	for _, room := range rooms {
		if _, ok := in[room]; ok {
			delete(in, room)
			remove(x.rooms, room, m)
			left = append(left, room)
		}
	}
	return left
}

// Clear takes everybody out of room in one step and returns who was in it:
// nobody can join in between and be overlooked.
func (x *Index[M]) Clear(room string) []M {
	x.mu.Lock()
	defer x.mu.Unlock()
	members := slices.Collect(maps.Keys(x.rooms[room]))
	for _, m := range members {
		delete(x.in[m], room)
	}
	delete(x.rooms, room)
	return members
}

// Select appends the members that t selects to dst, each once, and returns
// the longer slice.
func (x *Index[M]) Select(dst []M, t Target) []M {
	x.mu.RLock()
	defer x.mu.RUnlock()
	switch {
	case t.All:
		for m := range x.in {
			dst = x.append(dst, m, &t)
		}
		return dst
	case len(t.Rooms) == 1 && len(t.Users)+len(t.IDs) == 0:
		// The common case needs no set to keep members from coming twice.
		for m := range x.rooms[t.Rooms[0]] {
			dst = x.append(dst, m, &t)
		}
		return dst
	}
	for m := range x.union(&t) {
		dst = x.append(dst, m, &t)
	}
	return dst
}

func (x *Index[M]) union(t *Target) set[M] {
	found := make(set[M])
	for _, room := range t.Rooms {
		maps.Copy(found, x.rooms[room])
	}
	for _, user := range t.Users {
		maps.Copy(found, x.users[user])
	}
	for _, id := range t.IDs {
		if m, ok := x.ids[id]; ok {
			found[m] = struct{}{}
		}
	}
	return found
}

// append appends m unless t excepts it.
func (x *Index[M]) append(dst []M, m M, t *Target) []M {
	if len(t.ExceptIDs) > 0 && slices.Contains(t.ExceptIDs, m.ID()) {
		return dst
	}
	for _, room := range t.ExceptRooms {
		if _, ok := x.rooms[room][m]; ok {
			return dst
		}
	}
	return append(dst, m)
}

func add[M comparable](groups map[string]set[M], key string, m M) {
	group, ok := groups[key]
	if !ok {
		group = make(set[M])
		groups[key] = group
	}
	group[m] = struct{}{}
}

// remove takes m out of a group, and the group away with its last member.
func remove[M comparable](groups map[string]set[M], key string, m M) {
	group := groups[key]
	delete(group, m)
	if len(group) == 0 {
		delete(groups, key)
	}
}
