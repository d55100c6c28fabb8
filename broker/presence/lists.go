package presence

import (
	"sync"
	"time"
)

// ListGap is the least time between two lists of the same room for clients.
const ListGap = 250 * time.Millisecond

// Lists shares lists of rooms among the clients that ask for the same one at the same
// time. Making one takes a walk through the whole room at every node, so clients that
// join and leave would keep all nodes busy. The zero value is ready. Its methods may be
// called concurrently.
type Lists[V any] struct {
	mu    sync.Mutex
	rooms map[Place]*lists[V] // a list was made lately, or is being made
}

// lists are the lists of one room. Lists.mu guards it.
type lists[V any] struct {
	last, next *list[V] // next hasn't begun yet; both may be nil
}

type list[V any] struct {
	done  chan struct{}
	value V // when done is closed
}

// Get returns a list that was begun after the call. It waits until others have one, and
// until [ListGap] has passed since the last list of the room. Each list is made by the
// first caller who waits for it.
func (l *Lists[V]) Get(room Place, read func() V) V {
	l.mu.Lock()
	r := l.roomOf(room)
	if shared := r.next; shared != nil {
		l.mu.Unlock()
		<-shared.done
		return shared.value
	}
	mine, before := newList[V](), r.last
	r.next = mine
	l.mu.Unlock()

	defer close(mine.done)
	if before != nil {
		<-before.done
		<-time.After(ListGap)
	}
	l.mu.Lock()
	r.last, r.next = mine, nil
	l.mu.Unlock()
	defer time.AfterFunc(ListGap, func() { l.forget(room, mine) })
	mine.value = read()
	return mine.value
}

func newList[V any]() *list[V] { return &list[V]{done: make(chan struct{})} }

// roomOf returns the lists of a room. The caller holds mu.
func (l *Lists[V]) roomOf(room Place) *lists[V] {
	if l.rooms == nil {
		l.rooms = make(map[Place]*lists[V])
	}
	r := l.rooms[room]
	if r == nil {
		r = &lists[V]{}
		l.rooms[room] = r
	}
	return r
}

// forget forgets a room, unless there is a newer list of it.
func (l *Lists[V]) forget(room Place, last *list[V]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.rooms[room]; r != nil && r.last == last && r.next == nil {
		delete(l.rooms, room)
	}
}
