package room

import "slices"

// Target selects sockets of a namespace: those that are in one of Rooms, belong
// to one of Users or have one of the ids in Sockets, each once; or everyone. It
// leaves out those that are in one of ExceptRooms, belong to one of ExceptUsers
// or have one of the ids in ExceptSockets.
type Target struct {
	// Namespace is the namespace; empty means "/". An [Index], which holds one
	// namespace, ignores it.
	Namespace string
	// Everyone selects all sockets of the namespace. Rooms, Users and Sockets are
	// ignored then.
	Everyone bool
	// Rooms, Users and Sockets name what is selected.
	Rooms, Users, Sockets []string
	// ExceptRooms, ExceptUsers and ExceptSockets name what is left out.
	ExceptRooms, ExceptUsers, ExceptSockets []string
}

// Select appends the members that t selects to dst, each once and in no particular order, and
// returns the extended slice.
//
// Its time is linear in the number of names in t plus the number of members of the named rooms and
// users, not in their product. For members that are in many of many named rooms it takes a little
// more.
func (x *Index[M]) Select(dst []M, t Target) []M {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.selection(&t)
	if t.Everyone {
		dst = slices.Grow(dst, len(x.all))
		for _, e := range x.all {
			dst = s.append(dst, e)
		}
		return dst
	}
	for i, r := range s.rooms.list {
		dst = slices.Grow(dst, len(r.members))
		if i == 0 && !s.excepts { // the common case
			for j := range r.members {
				dst = append(dst, r.members[j].entry.member)
			}
			continue
		}
		for j := range r.members {
			// Members of an earlier room have been selected there.
			if e := r.members[j].entry; i == 0 || s.rooms.firstOf(e) == i {
				dst = s.append(dst, e)
			}
		}
	}
	for _, u := range s.users.list {
		for _, e := range u.entries {
			if !s.rooms.contains(e) {
				dst = s.append(dst, e)
			}
		}
	}
	for _, e := range s.entries.list {
		if !s.rooms.contains(e) && !s.users.has(e.user) {
			dst = s.append(dst, e)
		}
	}
	return dst
}

// selection holds the rooms, users and members that a [Target] names and that exist.
type selection[M Member] struct {
	rooms   roomSet[M]
	users   set[*user[M]]
	entries set[*entry[M]]

	exceptRooms   roomSet[M]
	exceptUsers   set[*user[M]]
	exceptEntries set[*entry[M]]
	excepts       bool // one of the three above isn't empty
}

// selection looks up what t names. The caller holds mu.
func (x *Index[M]) selection(t *Target) selection[M] {
	var s selection[M]
	if !t.Everyone {
		s.rooms = roomSet[M]{lookUp(x.rooms, t.Rooms)}
		s.users = lookUp(x.users, t.Users)
		s.entries = lookUp(x.members, t.Sockets)
	}
	s.exceptRooms = roomSet[M]{lookUp(x.rooms, t.ExceptRooms)}
	s.exceptUsers = lookUp(x.users, t.ExceptUsers)
	s.exceptEntries = lookUp(x.members, t.ExceptSockets)
	s.excepts = len(s.exceptRooms.list)+len(s.exceptUsers.list)+len(s.exceptEntries.list) > 0
	return s
}

// append appends e's member to dst unless the target leaves it out.
func (s *selection[M]) append(dst []M, e *entry[M]) []M {
	if s.excepts && (s.exceptEntries.has(e) || s.exceptUsers.has(e.user) || s.exceptRooms.contains(e)) {
		return dst
	}
	return append(dst, e.member)
}

// set is a set of values in the order in which they were added.
type set[T comparable] struct {
	list  []T
	table map[T]int // positions in list; nil while there are few
}

// lookUp returns the values of those names that are in the map.
func lookUp[T comparable](in map[string]T, names []string) (s set[T]) {
	if len(names) > maxScanned {
		s.table = make(map[T]int, len(names))
	}
	for _, name := range names {
		v, ok := in[name]
		if !ok || s.has(v) {
			continue
		}
		if s.table != nil {
			s.table[v] = len(s.list)
		}
		s.list = append(s.list, v)
	}
	return s
}

// find returns the position of v in the list, or -1.
func (s *set[T]) find(v T) int {
	if s.table != nil {
		if i, ok := s.table[v]; ok {
			return i
		}
		return -1
	}
	for i := range s.list {
		if s.list[i] == v {
			return i
		}
	}
	return -1
}

func (s *set[T]) has(v T) bool { return s.find(v) >= 0 }

// roomSet is a set of rooms.
type roomSet[M Member] struct{ set[*room[M]] }

// firstOf returns the position of the first room in the set that e is in, or -1. It scans e's rooms
// or the set, whichever is shorter.
func (s *roomSet[M]) firstOf(e *entry[M]) int {
	if len(s.list) <= e.rooms.len() {
		for i, r := range s.list {
			if e.in(r) {
				return i
			}
		}
		return -1
	}
	first := -1
	for _, p := range e.rooms.list {
		if i := s.find(p.room); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// contains reports whether e is in one of the rooms.
func (s *roomSet[M]) contains(e *entry[M]) bool { return len(s.list) > 0 && s.firstOf(e) >= 0 }
