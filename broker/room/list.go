package room

import (
	"math"
	"slices"
	"strings"
)

// chunk is how many rooms or members a list visits before it releases the lock for a moment, so
// that joins don't wait for long lists.
const chunk = 512

// Size is a room and the number of its members.
type Size struct {
	Name    string
	Members int
}

// Filter narrows [Index.Members] to the members that are in Room and belong to User. An empty field
// doesn't narrow it.
type Filter struct{ Room, User string }

// Len returns the number of members and of rooms.
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

// Room returns how many members a room has and how many different users they belong to. Members
// without a user count as one user. It takes constant time.
func (x *Index[M]) Room(name string) (members, users int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.rooms[name]
	if !ok {
		return 0, 0
	}
	return len(r.members), r.countUsers()
}

// CountUsers returns how many members a room has, or the index if room is empty, and how many
// different users they belong to. Members without a user belong to none. It takes constant time.
func (x *Index[M]) CountUsers(room string) (members, users int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if room == "" {
		return len(x.all), len(x.users)
	}
	r, ok := x.rooms[room]
	if !ok {
		return 0, 0
	}
	return len(r.members), int(r.users)
}

// InRoom returns the members of a room in no particular order. It holds the lock only while it
// copies a slice.
func (x *Index[M]) InRoom(name string) []M {
	x.mu.RLock()
	var copied []roomMember[M]
	if r, ok := x.rooms[name]; ok {
		copied = slices.Clone(r.members)
	}
	x.mu.RUnlock()
	members := make([]M, len(copied))
	for i := range copied {
		members[i] = copied[i].entry.member // never changes
	}
	return members
}

// OfUser returns the members of a user that are in a room, or all of the user if room is empty, in no
// particular order. It takes time for the members of the user alone.
func (x *Index[M]) OfUser(user, room string) (members []M) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	u := x.users[user]
	if u == nil {
		return nil
	}
	r := x.rooms[room]
	if room != "" && r == nil {
		return nil
	}
	for _, e := range u.entries {
		if room == "" || e.in(r) {
			members = append(members, e.member)
		}
	}
	return members
}

// RoomsOf returns the rooms that m is in, sorted.
func (x *Index[M]) RoomsOf(m M) []string {
	x.mu.RLock()
	var names []string
	if e := x.find(m); e != nil {
		names = e.roomNames()
	}
	x.mu.RUnlock()
	slices.Sort(names)
	return names
}

// roomNames returns the rooms that e is in. The caller holds the index's mu.
func (e *entry[M]) roomNames() []string {
	names := make([]string, 0, e.rooms.len())
	for _, p := range e.rooms.list {
		names = append(names, p.room.name)
	}
	return names
}

// See calls see with the rooms that m is in, in no particular order, unless m isn't a member. It is
// called with the index locked, as the observer is: between two changes.
func (x *Index[M]) See(m M, see func(rooms []string)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.find(m); e != nil {
		see(e.roomNames())
	}
}

// Rooms returns up to limit rooms, sorted by name: those whose names begin with prefix, sort after
// after, and for which keep returns true. A nil keep keeps all.
//
// It visits the rooms in order from the first that can be on the page. So it takes time for the
// page, and for the rooms in between that keep rejects.
func (x *Index[M]) Rooms(prefix, after string, limit int, keep func(room string) bool) []Size {
	found, _ := x.WalkRooms(prefix, after, limit, math.MaxInt, keep)
	return found
}

// WalkRooms is [Index.Rooms], but visits at most so many rooms. If it stops because of that, stopped
// is the room that it visited last, after which the walk can go on; otherwise stopped is empty.
func (x *Index[M]) WalkRooms(prefix, after string, limit, visits int, keep func(room string) bool) (found []Size, stopped string) {
	for len(found) < limit {
		n := min(chunk, visits)
		if keep == nil {
			n = min(n, limit-len(found))
		}
		if n <= 0 {
			return found, after
		}
		visited := x.nextRooms(prefix, after, n)
		visits -= len(visited)
		for _, r := range visited {
			if len(found) == limit {
				return found, ""
			}
			if keep == nil || keep(r.Name) {
				found = append(found, r)
			}
		}
		if len(visited) < n {
			return found, ""
		}
		after = visited[n-1].Name
	}
	return found, ""
}

// nextRooms returns the first n rooms whose names begin with prefix and sort after after.
func (x *Index[M]) nextRooms(prefix, after string, n int) []Size {
	next := make([]Size, 0, n)
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.byName.Ascend(&room[M]{name: max(prefix, after)}, func(r *room[M]) bool {
		if len(next) == n || !strings.HasPrefix(r.name, prefix) {
			return false
		}
		if r.name != after {
			next = append(next, Size{r.name, len(r.members)})
		}
		return true
	})
	return next
}

// Members returns up to limit members that f lists, sorted by id: those whose ids sort after after.
//
// If f lists few members, they are gathered and sorted. If it lists many, they stand close together
// among all members, which are then visited in the order of their ids until the page is full.
func (x *Index[M]) Members(f Filter, after string, limit int) []M {
	x.mu.RLock()
	found, ok := x.gather(f, limit)
	x.mu.RUnlock()
	if !ok {
		return x.scan(f, after, limit)
	}
	found = slices.DeleteFunc(found, func(m M) bool { return m.ID() <= after })
	slices.SortFunc(found, func(a, b M) int { return strings.Compare(a.ID(), b.ID()) })
	return found[:min(max(limit, 0), len(found))]
}

// WalkMembers is [Index.Members] for the members for which keep returns true, but visits at most so
// many that f lists. If it stops because of that, stopped is the id of the member that it visited
// last, after which the walk can go on; otherwise stopped is empty.
func (x *Index[M]) WalkMembers(f Filter, after string, limit, visits int, keep func(M) bool) (found []M, stopped string) {
	for len(found) < limit {
		n := min(chunk, visits)
		if n <= 0 {
			return found, after
		}
		visited := x.Members(f, after, n)
		visits -= len(visited)
		for _, m := range visited {
			if len(found) == limit {
				return found, ""
			}
			if keep(m) {
				found = append(found, m)
			}
		}
		if len(visited) < n {
			return found, ""
		}
		after = visited[n-1].ID()
	}
	return found, ""
}

// gather returns all members that f lists. ok is false if it is less work to scan to a page of
// limit. The caller holds mu.
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
	// One in len(x.all)/size members is listed. A scan visits that many for each on the page.
	if size*size > limit*len(x.all) {
		return nil, false
	}
	add := func(e *entry[M]) {
		if c.matches(e) {
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

// scan visits the members in the order of their ids until it has found a page.
func (x *Index[M]) scan(f Filter, after string, limit int) (found []M) {
	from := &entry[M]{id: after}
	for more := true; more; {
		more = false
		visited := 0
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
			case visited == chunk:
				from, more = &entry[M]{id: e.id}, true
				return false
			}
			visited++
			if e.id != after && c.matches(e) {
				found = append(found, e.member)
			}
			return true
		})
		x.mu.RUnlock()
	}
	return found
}

// criterion is the room and user that a [Filter] names; nil doesn't narrow a list.
type criterion[M Member] struct {
	room *room[M]
	user *user[M]
}

// criterion looks up the room and user that f names. ok is false if one doesn't exist. The caller
// holds mu.
func (x *Index[M]) criterion(f Filter) (c criterion[M], ok bool) {
	c.room, c.user = x.rooms[f.Room], x.users[f.User]
	return c, (f.Room == "" || c.room != nil) && (f.User == "" || c.user != nil)
}

func (c criterion[M]) matches(e *entry[M]) bool {
	return (c.user == nil || e.user == c.user) && (c.room == nil || e.in(c.room))
}
