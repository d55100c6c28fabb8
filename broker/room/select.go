package room

import "slices"

// Target selects members: those in one of Rooms, of one of Users or with one
// of IDs, or all; less those in one of ExceptRooms, of one of ExceptUsers or
// with one of ExceptIDs.
type Target struct {
	All                                 bool
	Rooms, Users, IDs                   []string
	ExceptRooms, ExceptUsers, ExceptIDs []string
}

// Select appends the members that t selects to dst, each once, and returns
// the longer slice.
//
// It takes time for the members that t names, a little more for those that are in
// many rooms, and for each name once: not for each name with each member.
func (x *Index[M]) Select(dst []M, t Target) []M {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.selection(&t)
	if t.All {
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
			// Who is in a room that came before has been selected there.
			if e := r.members[j].entry; i == 0 || s.rooms.firstOf(e) == i {
				dst = s.append(dst, e)
			}
		}
	}
	for _, u := range s.users.list {
		for _, e := range u.entries {
			if !s.rooms.hold(e) {
				dst = s.append(dst, e)
			}
		}
	}
	for _, e := range s.entries.list {
		if !s.rooms.hold(e) && !s.users.has(e.user) {
			dst = s.append(dst, e)
		}
	}
	return dst
}

// selection is what a [Target] names, as far as it exists.
type selection[M Member] struct {
	rooms   roomSet[M]
	users   set[*user[M]]
	entries set[*entry[M]]

	exceptRooms   roomSet[M]
	exceptUsers   set[*user[M]]
	exceptEntries set[*entry[M]]
	excepts       bool // somebody is left out
}

// selection looks up what t names. The caller holds mu.
func (x *Index[M]) selection(t *Target) selection[M] {
	var s selection[M]
	if !t.All {
		s.rooms = roomSet[M]{lookUp(x.rooms, t.Rooms)}
		s.users = lookUp(x.users, t.Users)
		s.entries = lookUp(x.members, t.IDs)
	}
	s.exceptRooms = roomSet[M]{lookUp(x.rooms, t.ExceptRooms)}
	s.exceptUsers = lookUp(x.users, t.ExceptUsers)
	s.exceptEntries = lookUp(x.members, t.ExceptIDs)
	s.excepts = len(s.exceptRooms.list)+len(s.exceptUsers.list)+len(s.exceptEntries.list) > 0
	return s
}

// append appends e's member to dst, unless it is left out.
func (s *selection[M]) append(dst []M, e *entry[M]) []M {
	if s.excepts && (s.exceptEntries.has(e) || s.exceptUsers.has(e.user) || s.exceptRooms.hold(e)) {
		return dst
	}
	return append(dst, e.member)
}

// set holds different values in the order in which they were added.
type set[T comparable] struct {
	list  []T
	table map[T]int // places in list; nil while there are few
}

// lookUp returns what names stand for, of those that stand for anything.
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

// find returns the place of v in the list, -1 if it isn't there.
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

// firstOf returns the place of the first room in the set that e is in, -1 if it
// is in none. It looks through e's rooms or through the set, whatever is shorter.
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

// hold reports whether e is in one of the rooms.
func (s *roomSet[M]) hold(e *entry[M]) bool { return len(s.list) > 0 && s.firstOf(e) >= 0 }
