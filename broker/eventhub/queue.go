package eventhub

// entry is an event on its way to a member of one group.
type entry struct {
	id          uint64
	event       *Event
	question    *question // nil if nobody waits for an answer
	size        int       // in bytes
	redelivered bool
	source      *Source // that offered it; nil for an event of this node
	tracker     *Tracker
}

// queue holds the events that wait for a member, first in first out. It is a ring that grows as
// needed and is released when it is empty. The zero value is an empty queue.
type queue struct {
	ring  []entry // its length is a power of two
	first int
	count int
	bytes int
}

// Sizes of the ring: the first one, and the largest one that an empty queue keeps.
const (
	smallRing = 16
	keptRing  = 1024
)

// fits reports whether an entry may be added to a queue with these limits. An empty queue takes an
// entry of any size.
func (q *queue) fits(en *entry, maxCount, maxBytes int) bool {
	return q.count == 0 || q.count < maxCount && q.bytes+en.size <= maxBytes
}

func (q *queue) push(en entry) {
	if q.count == len(q.ring) {
		ring := make([]entry, max(smallRing, 2*len(q.ring)))
		n := copy(ring, q.ring[q.first:])
		copy(ring[n:], q.ring[:q.first])
		q.ring, q.first = ring, 0
	}
	q.ring[(q.first+q.count)&(len(q.ring)-1)] = en
	q.count++
	q.bytes += en.size
}

// pop takes the first entry off a queue that isn't empty.
func (q *queue) pop() entry {
	en := q.ring[q.first]
	q.ring[q.first] = entry{} // for the garbage collector
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.count--
	q.bytes -= en.size
	if q.count == 0 && len(q.ring) > keptRing {
		q.ring, q.first = nil, 0
	}
	return en
}

// all calls visit for each event, the first one first.
func (q *queue) all(visit func(*Event)) {
	for i := range q.count {
		visit(q.ring[(q.first+i)&(len(q.ring)-1)].event)
	}
}
