package room

// room is a room that has members.
type room[M Member] struct {
	name      string
	members   []roomMember[M]
	users     int32 // how many different users the members belong to
	anonymous int32 // how many members have no user
}

// roomMember is a member in the list of a room.
type roomMember[M Member] struct {
	entry *entry[M]
	at    int32 // position of the room in entry.rooms.list
}

// joinedRoom is a room in the list of a member.
type joinedRoom[M Member] struct {
	room  *room[M]
	at    int32 // position of the member in room.members
	first bool  // the member was the first of its user there when it joined
}

// joinedRooms are the rooms that a member is in. Most members are in a few, which are scanned.
// Beyond maxScanned there is a table.
type joinedRooms[M Member] struct {
	list  []joinedRoom[M]
	table map[*room[M]]int32 // positions in list; nil while there are few
}

// maxScanned is how many entries of a list are scanned without a table.
const maxScanned = 16

func (j *joinedRooms[M]) len() int { return len(j.list) }

// last returns the last room in the list.
func (j *joinedRooms[M]) last() *room[M] { return j.list[len(j.list)-1].room }

// find returns the position of a room in the list, or -1.
func (j *joinedRooms[M]) find(r *room[M]) int32 {
	if j.table != nil {
		if i, ok := j.table[r]; ok {
			return i
		}
		return -1
	}
	for i := range j.list {
		if j.list[i].room == r {
			return int32(i)
		}
	}
	return -1
}

// append adds a room in whose list the member is at position member, and returns the room's
// position.
func (j *joinedRooms[M]) append(r *room[M], member int32) (at int32) {
	at = int32(len(j.list)) //nolint:gosec // bounded by Limits.Rooms
	j.list = append(j.list, joinedRoom[M]{room: r, at: member})
	switch {
	case j.table != nil:
		j.table[r] = at
	case len(j.list) > maxScanned:
		j.table = make(map[*room[M]]int32, 2*maxScanned)
		for i := range j.list {
			j.table[j.list[i].room] = int32(i)
		}
	}
	return at
}

// remove removes the room at a position by moving the last one there.
func (j *joinedRooms[M]) remove(at int32) {
	r, last := j.list[at].room, len(j.list)-1
	if moved := j.list[last]; int(at) != last {
		j.list[at] = moved
		moved.room.members[moved.at].at = at
		if j.table != nil {
			j.table[moved.room] = at
		}
	}
	j.list[last] = joinedRoom[M]{}
	j.list = shrink(j.list[:last])
	if j.table != nil {
		delete(j.table, r)
	}
	if last <= maxScanned/2 {
		j.table = nil
	}
}

// in reports whether e is in a room.
func (e *entry[M]) in(r *room[M]) bool { return e.rooms.find(r) >= 0 }

// add adds e, which must not be in the room.
func (r *room[M]) add(e *entry[M]) {
	at := e.rooms.append(r, int32(len(r.members))) //nolint:gosec // bounded by file descriptors
	r.members = append(r.members, roomMember[M]{e, at})
	switch {
	case e.user == nil:
		r.anonymous++
	case e.user.join(e, r):
		r.users++
		e.rooms.list[at].first = true
	}
}

// remove removes e by moving the last member to its position. It reports whether e was the last
// member of its user.
func (r *room[M]) remove(e *entry[M]) (last bool) {
	at := e.rooms.find(r)
	position, end := e.rooms.list[at].at, len(r.members)-1
	if moved := r.members[end]; int(position) != end {
		r.members[position] = moved
		moved.entry.rooms.list[moved.at].at = position
	}
	r.members[end] = roomMember[M]{}
	r.members = shrink(r.members[:end])
	e.rooms.remove(at)
	if e.user == nil {
		r.anonymous--
		return false
	}
	last = e.user.leave(e, r)
	if last {
		r.users--
	}
	return last
}

// countUsers returns how many different users the members belong to. All members without a user
// count as one.
func (r *room[M]) countUsers() int {
	return int(r.users) + int(min(r.anonymous, 1))
}
