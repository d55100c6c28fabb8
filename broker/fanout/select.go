package fanout

import "slices"

// Target selects members: those in one of Rooms, of one of Users or with one
// of IDs, or all; less those in one of ExceptRooms or with one of ExceptIDs.
type Target struct {
	All                    bool
	Rooms, Users, IDs      []string
	ExceptRooms, ExceptIDs []string
}

// Select appends the members that t selects to dst, each once, and returns
// the longer slice.
func (x *Index[M]) Select(dst []M, t Target) []M {
	x.mu.RLock()
	defer x.mu.RUnlock()
	except := x.excepted(&t)
	switch {
	case t.All:
		return appendMembers(dst, x.all, except)
	case len(t.Rooms) == 1 && len(t.Users)+len(t.IDs) == 0:
		// The common case needs no set to keep members from coming twice.
		return appendMembers(dst, x.rooms[t.Rooms[0]], except)
	}
	seen := make(map[*entry[M]]struct{})
	for _, group := range x.groups(&t) {
		for _, e := range group {
			if _, ok := seen[e]; ok || except != nil && except(e) {
				continue
			}
			seen[e] = struct{}{}
			dst = append(dst, e.member)
		}
	}
	return dst
}

// groups returns the slices of whom t names, which may overlap.
func (x *Index[M]) groups(t *Target) [][]*entry[M] {
	var groups [][]*entry[M]
	for _, room := range t.Rooms {
		groups = append(groups, x.rooms[room])
	}
	for _, user := range t.Users {
		groups = append(groups, x.users[user])
	}
	for _, id := range t.IDs {
		if e, ok := x.members[id]; ok {
			groups = append(groups, []*entry[M]{e})
		}
	}
	return groups
}

// excepted returns a test for those whom t leaves out, nil if it leaves out
// nobody.
func (x *Index[M]) excepted(t *Target) func(*entry[M]) bool {
	if len(t.ExceptRooms)+len(t.ExceptIDs) == 0 {
		return nil
	}
	ids := make(map[*entry[M]]struct{}, len(t.ExceptIDs))
	for _, id := range t.ExceptIDs {
		if e, ok := x.members[id]; ok {
			ids[e] = struct{}{}
		}
	}
	return func(e *entry[M]) bool {
		if _, ok := ids[e]; ok {
			return true
		}
		return slices.ContainsFunc(t.ExceptRooms, func(room string) bool {
			_, ok := e.rooms[room]
			return ok
		})
	}
}

func appendMembers[M Member](dst []M, group []*entry[M], except func(*entry[M]) bool) []M {
	dst = slices.Grow(dst, len(group))
	for _, e := range group {
		if except == nil || !except(e) {
			dst = append(dst, e.member)
		}
	}
	return dst
}
