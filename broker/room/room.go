package room

// room is a room that has members.
type room[M Member] struct {
	name    string
	members []membership[M]
	users   int32 // to how many different users the members belong
	nobodys int32 // how many members belong to nobody
}

// membership is a member of a room.
type membership[M Member] struct {
	entry *entry[M]
	place int32 // in entry.rooms.list
}

// place is a room that a member is in.
type place[M Member] struct {
	room   *room[M]
	member int32 // in room.members
}

// places are the rooms that a member is in. Most members are in a few, which are
// quickly looked through; from maxScanned on there is a table.
type places[M Member] struct {
	list  []place[M]
	table map[*room[M]]int32 // places in list; nil while there are few
}

// maxScanned is how many entries are looked through without a table.
const maxScanned = 16

func (p *places[M]) len() int { return len(p.list) }

// last returns the room that was added last, of those that are left.
func (p *places[M]) last() *room[M] { return p.list[len(p.list)-1].room }

// find returns the place of a room in the list, -1 if it isn't there.
func (p *places[M]) find(r *room[M]) int32 {
	if p.table != nil {
		if i, ok := p.table[r]; ok {
			return i
		}
		return -1
	}
	for i := range p.list {
		if p.list[i].room == r {
			return int32(i)
		}
	}
	return -1
}

// append adds a room in which the member has the number that is given.
func (p *places[M]) append(r *room[M], member int32) (at int32) {
	at = int32(len(p.list)) //nolint:gosec // bounded by Limits.Rooms
	p.list = append(p.list, place[M]{r, member})
	switch {
	case p.table != nil:
		p.table[r] = at
	case len(p.list) > maxScanned:
		p.table = make(map[*room[M]]int32, 2*maxScanned)
		for i := range p.list {
			p.table[p.list[i].room] = int32(i)
		}
	}
	return at
}

// remove takes the room at a place away by moving the last one there.
func (p *places[M]) remove(at int32) {
	r, last := p.list[at].room, len(p.list)-1
	if moved := p.list[last]; int(at) != last {
		p.list[at] = moved
		moved.room.members[moved.member].place = at
		if p.table != nil {
			p.table[moved.room] = at
		}
	}
	p.list[last] = place[M]{}
	p.list = shrink(p.list[:last])
	if p.table != nil {
		delete(p.table, r)
	}
	if last <= maxScanned/2 {
		p.table = nil
	}
}

// in reports whether e is in a room.
func (e *entry[M]) in(r *room[M]) bool { return e.rooms.find(r) >= 0 }

// add makes e, which isn't, a member.
func (r *room[M]) add(e *entry[M]) {
	at := e.rooms.append(r, int32(len(r.members))) //nolint:gosec // bounded by file descriptors
	r.members = append(r.members, membership[M]{e, at})
	switch {
	case e.user == nil:
		r.nobodys++
	case e.user.joined(e, r):
		r.users++
	}
}

// remove takes a member out, by moving the last one to its place.
func (r *room[M]) remove(e *entry[M]) {
	at := e.rooms.find(r)
	place, last := e.rooms.list[at].member, len(r.members)-1
	if moved := r.members[last]; int(place) != last {
		r.members[place] = moved
		moved.entry.rooms.list[moved.place].member = place
	}
	r.members[last] = membership[M]{}
	r.members = shrink(r.members[:last])
	e.rooms.remove(at)
	switch {
	case e.user == nil:
		r.nobodys--
	case e.user.left(e, r):
		r.users--
	}
}

// countUsers returns to how many different users the members belong; nobody
// counts as one.
func (r *room[M]) countUsers() int {
	return int(r.users) + int(min(r.nobodys, 1))
}
