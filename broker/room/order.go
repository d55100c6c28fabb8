package room

import (
	"slices"
	"strings"
	"time"

	"github.com/tidwall/btree"
)

// orderKept is how long the users are kept in order after somebody has listed them.
const orderKept = time.Minute

// userOrder keeps the users of an index in the order of their names, but only while somebody lists
// them: it would make each connect of a user dearer. The first list takes a walk through all members.
//
// Index.mu guards it.
type userOrder[M Member] struct {
	byName *btree.BTreeG[namedUser[M]] // nil while nobody lists users
	filled chan struct{}               // closed once byName has all users
	read   time.Time                   // when somebody listed users last
	idle   *time.Timer                 // forgets byName
}

type namedUser[M Member] struct {
	name string
	user *user[M]
}

// add notes that a user has its first member.
func (o *userOrder[M]) add(name string, u *user[M]) {
	if o.byName != nil {
		o.byName.Set(namedUser[M]{name, u})
	}
}

// remove notes that a user has lost its last member.
func (o *userOrder[M]) remove(name string) {
	if o.byName != nil {
		o.byName.Delete(namedUser[M]{name: name})
	}
}

// orderUsers has the index keep its users in order for a while.
func (x *Index[M]) orderUsers() {
	x.mu.Lock()
	o := &x.order
	filled, first := o.filled, o.byName == nil
	if first {
		filled = make(chan struct{})
		o.filled = filled
		o.byName = btree.NewBTreeGOptions(func(a, b namedUser[M]) bool { return a.name < b.name }, btree.Options{NoLocks: true})
		o.idle = time.AfterFunc(orderKept, x.forgetOrder)
	}
	o.read = time.Now()
	x.mu.Unlock()
	if !first {
		<-filled
		return
	}
	defer close(filled)
	for after, more := "", true; more; {
		after, more = x.orderSome(after)
	}
}

// orderSome adds the users of the next members after one to the order.
func (x *Index[M]) orderSome(after string) (last string, more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	visited := 0
	x.byID.Ascend(&entry[M]{id: after}, func(e *entry[M]) bool {
		if visited == chunk {
			more = true
			return false
		}
		visited++
		last = e.id
		if e.user != nil {
			x.order.add(e.member.User(), e.user)
		}
		return true
	})
	return last, more
}

// forgetOrder forgets the order if nobody has listed users for a while.
func (x *Index[M]) forgetOrder() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if left := orderKept - time.Since(x.order.read); left > 0 {
		x.order.idle.Reset(left)
		return
	}
	x.order.byName = nil
}

// UserMembers are members of one user.
type UserMembers[M Member] struct {
	User    string
	Members []M
}

// Users returns up to limit users with their members in a room, or all their members if room is
// empty, sorted by name: those whose names begin with prefix and sort after after.
//
// A small room is gathered and sorted. Otherwise the users are visited in order until the page is
// full. The index keeps that order from the first such list until nobody has asked for one for a
// minute.
func (x *Index[M]) Users(room, prefix, after string, limit int) []UserMembers[M] {
	if limit <= 0 {
		return nil
	}
	if room != "" {
		x.mu.RLock()
		found, ok := x.gatherUsers(room, prefix, after, limit)
		x.mu.RUnlock()
		if ok {
			slices.SortFunc(found, func(a, b UserMembers[M]) int { return strings.Compare(a.User, b.User) })
			return found[:min(limit, len(found))]
		}
	}
	return x.scanUsers(room, prefix, after, limit)
}

// gatherUsers returns all users of a room. ok is false if it is less work to scan to a page of
// limit. The caller holds mu.
func (x *Index[M]) gatherUsers(room, prefix, after string, limit int) (found []UserMembers[M], ok bool) {
	r := x.rooms[room]
	if r == nil {
		return nil, true
	}
	if size := len(r.members); size > chunk && size*size > limit*len(x.users) {
		return nil, false
	}
	positions := make(map[*user[M]]int)
	for i := range r.members {
		e := r.members[i].entry
		if e.user == nil {
			continue
		}
		at, known := positions[e.user]
		if !known {
			name := e.member.User()
			if name <= after || !strings.HasPrefix(name, prefix) {
				continue
			}
			at = len(found)
			positions[e.user] = at
			found = append(found, UserMembers[M]{User: name})
		}
		found[at].Members = append(found[at].Members, e.member)
	}
	return found, true
}

// scanUsers visits the users in order until it has found a page.
func (x *Index[M]) scanUsers(room, prefix, after string, limit int) (found []UserMembers[M]) {
	x.orderUsers()
	for from, more := max(prefix, after), true; more; {
		more = false
		visited := 0
		x.mu.RLock()
		r := x.rooms[room]
		switch {
		case room != "" && r == nil:
			x.mu.RUnlock()
			return found
		case x.order.byName == nil: // the walk takes very long
			x.mu.RUnlock()
			x.orderUsers()
			more = true
			continue
		}
		x.order.byName.Ascend(namedUser[M]{name: from}, func(u namedUser[M]) bool {
			switch {
			case len(found) >= limit || !strings.HasPrefix(u.name, prefix):
				return false
			case visited == chunk:
				from, more = u.name, true
				return false
			}
			visited++
			if u.name == after {
				return true
			}
			if members := u.user.membersIn(r); len(members) > 0 {
				found = append(found, UserMembers[M]{u.name, members})
			}
			return true
		})
		x.mu.RUnlock()
	}
	return found
}

// membersIn returns the members of a user that are in a room, or all of them if r is nil. The caller
// holds the index's mu.
func (u *user[M]) membersIn(r *room[M]) (members []M) {
	if r != nil && u.rooms != nil && u.rooms[r] == 0 {
		return nil
	}
	for _, e := range u.entries {
		if r == nil || e.in(r) {
			members = append(members, e.member)
		}
	}
	return members
}
