package room

// user is a user that has members.
//
// It can tell whether one of its members is in a room, so that rooms can count their users as
// members come and go. Most users have few members, which are scanned. Beyond maxScannedMembers
// there is a table.
type user[M Member] struct {
	entries []*entry[M]
	rooms   map[*room[M]]int32 // how many of entries are in each; nil while there are few
}

// maxScannedMembers is how many members of a user are scanned without a table.
const maxScannedMembers = 8

// addToUser adds e to the members of its user. The caller holds mu.
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
		x.order.add(name, u)
	case x.limits.PerUser > 0 && len(u.entries) >= x.limits.PerUser:
		return ErrTooManyOfUser
	}
	e.user, e.inUser = u, int32(len(u.entries)) //nolint:gosec // bounded by file descriptors
	u.entries = append(u.entries, e)
	if u.rooms == nil && len(u.entries) > maxScannedMembers {
		u.rooms = make(map[*room[M]]int32)
		for _, other := range u.entries {
			for _, p := range other.rooms.list {
				u.rooms[p.room]++
			}
		}
	}
	return nil
}

// removeFromUser removes e, which must be in no room, from the members of its user, which it must
// have. The caller holds mu.
func (x *Index[M]) removeFromUser(e *entry[M]) {
	u := e.user
	u.entries = removeAt(u.entries, e.inUser, func(moved *entry[M]) { moved.inUser = e.inUser })
	switch {
	case len(u.entries) == 0:
		delete(x.users, e.member.User())
		x.order.remove(e.member.User())
	case len(u.entries) <= maxScannedMembers/2:
		u.rooms = nil
	}
}

// join records that e has joined a room, and reports whether it is the user's first member there.
func (u *user[M]) join(e *entry[M], r *room[M]) (first bool) {
	if u.rooms == nil {
		return !u.hasOther(e, r)
	}
	u.rooms[r]++
	return u.rooms[r] == 1
}

// leave records that e has left a room, and reports whether it was the user's last member there.
func (u *user[M]) leave(e *entry[M], r *room[M]) (last bool) {
	if u.rooms == nil {
		return !u.hasOther(e, r)
	}
	u.rooms[r]--
	if u.rooms[r] > 0 {
		return false
	}
	delete(u.rooms, r)
	return true
}

// hasOther reports whether a member of the user other than e is in a room.
func (u *user[M]) hasOther(e *entry[M], r *room[M]) bool {
	for _, other := range u.entries {
		if other != e && other.in(r) {
			return true
		}
	}
	return false
}
