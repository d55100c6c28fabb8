package fanout

import (
	"maps"
	"slices"
	"strings"
)

// RoomSize is a room and how many members it has.
type RoomSize struct {
	Name    string
	Members int
}

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
// they belong; members of nobody count as one user.
func (x *Index[M]) Room(name string) (members, users int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	distinct := make(map[string]struct{})
	for _, e := range x.rooms[name] {
		distinct[e.member.User()] = struct{}{}
	}
	return len(x.rooms[name]), len(distinct)
}

// RoomsOf returns the rooms that m is in, sorted.
func (x *Index[M]) RoomsOf(m M) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.find(m); e != nil {
		return slices.Sorted(maps.Keys(e.rooms))
	}
	return nil
}

// Rooms returns the rooms whose names begin with prefix and sort behind after,
// sorted by name, limit at the most, of those that keep says to keep, nil being
// all. It is called with the index locked.
func (x *Index[M]) Rooms(prefix, after string, limit int, keep func(room string) bool) []RoomSize {
	x.mu.RLock()
	var found []RoomSize
	for name, members := range x.rooms {
		if name > after && strings.HasPrefix(name, prefix) && (keep == nil || keep(name)) {
			found = append(found, RoomSize{Name: name, Members: len(members)})
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(found, func(a, b RoomSize) int { return strings.Compare(a.Name, b.Name) })
	return found[:min(limit, len(found))]
}

// Members returns the members that t selects whose ids sort behind after,
// sorted by id, limit at the most.
func (x *Index[M]) Members(t Target, after string, limit int) []M {
	found := x.Select(nil, t)
	found = slices.DeleteFunc(found, func(m M) bool { return m.ID() <= after })
	slices.SortFunc(found, func(a, b M) int { return strings.Compare(a.ID(), b.ID()) })
	return found[:min(limit, len(found))]
}
