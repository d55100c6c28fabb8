// Package turns keeps processors free for the delivery of messages. Work that takes long and that
// anybody can cause, such as decoding 50 KB of JSON, takes turns and uses at most half of the
// processors. Otherwise a hundred goroutines that do such work run before the one that delivers a
// message to everybody else runs again.
package turns

import "sync"

// Turns hands out turns. Its methods may be called concurrently.
type Turns struct {
	mu    sync.Mutex
	free  int           // turns; 0 while anybody waits
	lines map[any]*line // of owners that wait
	order []*line       // the same, in the order of their next turns
}

// line is who waits for one owner, in order of arrival.
type line struct {
	owner   any
	waiting []chan<- struct{}
}

// New returns turns for a machine with so many processors: half as many, but at least one.
func New(processors int) *Turns {
	return &Turns{free: max(processors/2, 1), lines: make(map[any]*line)}
}

// Try takes a turn if one is free. Then [Turns.Give] must follow.
func (t *Turns) Try() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == 0 {
		return false
	}
	t.free--
	return true
}

// Take waits for a turn. [Turns.Give] must follow, and soon: whoever has a turn waits for nothing,
// nor takes another one. Owners, which are comparable, are served one after the other, so that one
// who causes much work delays others by one piece of it.
func (t *Turns) Take(owner any) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return
	}
	granted := make(chan struct{})
	l, waits := t.lines[owner]
	if !waits {
		l = &line{owner: owner}
		t.lines[owner] = l
		t.order = append(t.order, l)
	}
	l.waiting = append(l.waiting, granted)
	t.mu.Unlock()
	<-granted
}

// Give ends a turn.
func (t *Turns) Give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		t.free++
		return
	}
	next := t.order[0]
	t.order = t.order[1:]
	close(next.waiting[0])
	next.waiting = next.waiting[1:]
	if len(next.waiting) > 0 {
		t.order = append(t.order, next)
		return
	}
	delete(t.lines, next.owner)
}
