package room

// user is a user that has members.
//
// It knows in which rooms it is, so that the rooms know how many users they have
// without being asked to count: the few members that most users have are looked
// through, and from maxAsked on there is a table.
type user[M Member] struct {
	entries []*entry[M]
	rooms   map[*room[M]]int32 // how many of the entries are in each; nil while there are few
}

// maxAsked is how many members of a user are looked through without a table.
const maxAsked = 8

// addToUser gives e to its user. The caller holds mu.
func (x *Index[M]) addToUser(e *entry[M]) error {
	name := e.member.User()
	if name == "" {
		return nil
	}
	u := x.users[name]
	switch {
	case u == nil:
		u = &user[M]{}
		x.users[name] = u
	case x.limits.PerUser > 0 && len(u.entries) >= x.limits.PerUser:
		return ErrTooManyOfUser
	}
	e.user, e.inUser = u, int32(len(u.entries)) //nolint:gosec // bounded by file descriptors
	u.entries = append(u.entries, e)
	if u.rooms == nil && len(u.entries) > maxAsked {
		u.rooms = make(map[*room[M]]int32)
		for _, other := range u.entries {
			for _, p := range other.rooms.list {
				u.rooms[p.room]++
			}
		}
	}
	return nil
}

// removeFromUser takes e, which is in no room any more, from its user. The caller
// holds mu.
func (x *Index[M]) removeFromUser(e *entry[M]) {
	u := e.user
	if u == nil {
		return
	}
	u.entries = take(u.entries, e.inUser, func(moved *entry[M]) { moved.inUser = e.inUser })
	switch {
	case len(u.entries) == 0:
		delete(x.users, e.member.User())
	case len(u.entries) <= maxAsked/2:
		u.rooms = nil
	}
}

// joined takes in that e has joined a room, and reports whether it is the first
// of its user there.
func (u *user[M]) joined(e *entry[M], r *room[M]) (first bool) {
	if u.rooms == nil {
		return !u.hasOther(e, r)
	}
	u.rooms[r]++
	return u.rooms[r] == 1
}

// left takes in that e has left a room, and reports whether it was the last of
// its user there.
func (u *user[M]) left(e *entry[M], r *room[M]) (last bool) {
	if u.rooms == nil {
		return !u.hasOther(e, r)
	}
	if u.rooms[r]--; u.rooms[r] > 0 {
		return false
	}
	delete(u.rooms, r)
	return true
}

// hasOther reports whether another member of the user than e is in a room.
func (u *user[M]) hasOther(e *entry[M], r *room[M]) bool {
	for _, other := range u.entries {
		if other != e && other.in(r) {
			return true
		}
	}
	return false
}
