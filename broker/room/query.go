package room

import (
	"slices"
	"strings"
)

// chunk is how many rooms or members a list looks at before it lets others have
// the index, who may be waiting to change it.
const chunk = 512

// RoomSize is a room and how many members it has.
type RoomSize struct {
	Name    string
	Members int
}

// Filter says which members [Index.Members] lists: those in Room and of User. An
// empty one doesn't narrow the list.
type Filter struct{ Room, User string }

// Len returns how many members and how many rooms there are.
func (x *Index[M]) Len() (members, rooms int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.members), len(x.rooms)
}

// Get returns the member with the id.
func (x *Index[M]) Get(id string) (m M, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e, found := x.members[id]; found {
		return e.member, true
	}
	return m, false
}

// Room returns how many members a room has and to how many different users
// they belong; members of nobody count as one user. It takes the same time
// whatever the room's size.
func (x *Index[M]) Room(name string) (members, users int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.rooms[name]
	if !ok {
		return 0, 0
	}
	return len(r.members), r.countUsers()
}

// InRoom returns the members of a room, in no order. Others wait only while a
// list is copied.
func (x *Index[M]) InRoom(name string) []M {
	x.mu.RLock()
	var copied []membership[M]
	if r, ok := x.rooms[name]; ok {
		copied = slices.Clone(r.members)
	}
	x.mu.RUnlock()
	members := make([]M, len(copied))
	for i := range copied {
		members[i] = copied[i].entry.member // which never changes
	}
	return members
}

// RoomsOf returns the rooms that m is in, sorted.
func (x *Index[M]) RoomsOf(m M) []string {
	x.mu.RLock()
	var names []string
	if e := x.find(m); e != nil {
		names = make([]string, 0, e.rooms.len())
		for _, p := range e.rooms.list {
			names = append(names, p.room.name)
		}
	}
	x.mu.RUnlock()
	slices.Sort(names)
	return names
}

// Rooms returns the rooms whose names begin with prefix and sort behind after,
// sorted by name, at most limit, of those that keep says to keep, nil being all.
// keep is called with the index locked.
//
// It looks at the rooms in order from the first that can be on the page, and so
// takes time for those that keep doesn't keep, and for no others.
func (x *Index[M]) Rooms(prefix, after string, limit int, keep func(room string) bool) []RoomSize {
	var found []RoomSize
	from := &room[M]{name: max(prefix, after)}
	for more := limit > 0; more; {
		more = false
		looked := 0
		x.mu.RLock()
		x.byName.Ascend(from, func(r *room[M]) bool {
			switch {
			case !strings.HasPrefix(r.name, prefix) || len(found) == limit:
				return false
			case looked == chunk:
				from, more = &room[M]{name: r.name}, true
				return false
			}
			looked++
			if r.name != after && (keep == nil || keep(r.name)) {
				found = append(found, RoomSize{r.name, len(r.members)})
			}
			return true
		})
		x.mu.RUnlock()
	}
	return found
}

// Members returns the members that f lists whose ids sort behind after, sorted by
// id, at most limit.
//
// Those of a small room, or of a user with few, are gathered and sorted. Those of
// a large one stand close together among all members: these are looked at in the
// order of their ids until the page is full.
func (x *Index[M]) Members(f Filter, after string, limit int) []M {
	x.mu.RLock()
	found, ok := x.gather(f, limit)
	x.mu.RUnlock()
	if !ok {
		return x.walk(f, after, limit)
	}
	found = slices.DeleteFunc(found, func(m M) bool { return m.ID() <= after })
	slices.SortFunc(found, func(a, b M) int { return strings.Compare(a.ID(), b.ID()) })
	return found[:min(max(limit, 0), len(found))]
}

// gather returns all members that f lists, unless a walk to a page of limit is
// less work. The caller holds mu.
func (x *Index[M]) gather(f Filter, limit int) (found []M, ok bool) {
	c, ok := x.criterion(f)
	if !ok {
		return nil, true
	}
	size := len(x.all)
	if c.room != nil {
		size = min(size, len(c.room.members))
	}
	if c.user != nil {
		size = min(size, len(c.user.entries))
	}
	// One in len(x.all)/size is on the page: so many does the walk look at for each.
	if size*size > limit*len(x.all) {
		return nil, false
	}
	add := func(e *entry[M]) {
		if c.holds(e) {
			found = append(found, e.member)
		}
	}
	switch {
	case c.user != nil && len(c.user.entries) == size:
		for _, e := range c.user.entries {
			add(e)
		}
	case c.room != nil:
		for i := range c.room.members {
			add(c.room.members[i].entry)
		}
	default:
		for _, e := range x.all {
			add(e)
		}
	}
	return found, true
}

// walk looks at the members in the order of their ids until it has found a page.
func (x *Index[M]) walk(f Filter, after string, limit int) (found []M) {
	from := &entry[M]{id: after}
	for more := true; more; {
		more = false
		looked := 0
		x.mu.RLock()
		c, ok := x.criterion(f)
		if !ok {
			x.mu.RUnlock()
			return found
		}
		x.byID.Ascend(from, func(e *entry[M]) bool {
			switch {
			case len(found) >= limit:
				return false
			case looked == chunk:
				from, more = &entry[M]{id: e.id}, true
				return false
			}
			looked++
			if e.id != after && c.holds(e) {
				found = append(found, e.member)
			}
			return true
		})
		x.mu.RUnlock()
	}
	return found
}

// criterion is what a [Filter] names; nil doesn't narrow a list.
type criterion[M Member] struct {
	room *room[M]
	user *user[M]
}

// criterion looks up what f names. ok is false if there is no such room or user.
// The caller holds mu.
func (x *Index[M]) criterion(f Filter) (c criterion[M], ok bool) {
	c.room, c.user = x.rooms[f.Room], x.users[f.User]
	return c, (f.Room == "" || c.room != nil) && (f.User == "" || c.user != nil)
}

func (c criterion[M]) holds(e *entry[M]) bool {
	return (c.user == nil || e.user == c.user) && (c.room == nil || e.in(c.room))
}
