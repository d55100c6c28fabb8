package history

// once knows the positions of the entries of one room that had an idempotency key. It is empty for
// rooms without such entries.
type once struct {
	first map[Identity]Position
	order []expiringIdentity // in the order in which they expire
}

type expiringIdentity struct {
	id    Identity
	until int64 // milliseconds
}

// onceBytes is roughly what an identity takes.
const onceBytes = 192

// claim returns the position of an entry that was claimed before. Otherwise it notes the position
// as that of the entry.
func (o *once) claim(id Identity, p Position, until int64) (first Position, repeated bool) {
	if first, repeated = o.first[id]; repeated {
		return first, true
	}
	if o.first == nil {
		o.first = make(map[Identity]Position)
	}
	o.first[id] = p
	o.order = append(o.order, expiringIdentity{id, until})
	return p, false
}

// expire forgets what has expired.
func (o *once) expire(now int64) {
	n := 0
	for n < len(o.order) && o.order[n].until <= now {
		delete(o.first, o.order[n].id)
		n++
	}
	o.order = o.order[n:]
	if len(o.order) == 0 {
		o.first, o.order = nil, nil
	}
}

// last returns when the last one expires; zero if there is none.
func (o *once) last() int64 {
	if len(o.order) == 0 {
		return 0
	}
	return o.order[len(o.order)-1].until
}

func (o *once) bytes() int64 { return int64(len(o.order)) * onceBytes }
