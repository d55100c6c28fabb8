package engineio

import (
	"container/heap"
	"sync"
	"time"
)

// timers wakes connections at their deadlines, with one goroutine and one runtime timer for all.
// Each connection has one entry, for the earliest of its deadlines.
type timers struct {
	wake chan struct{} // gets a token when the earliest deadline has changed
	stop chan struct{}

	mu    sync.Mutex
	queue deadlineHeap
}

// timer is a connection's entry in timers.
type timer struct {
	when  time.Duration
	index int // in the heap, from 1; 0 if it isn't there
}

func newTimers() *timers {
	return &timers{wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// set replaces c's deadline; 0 means none.
func (t *timers) set(c *Conn, when time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entry := &c.timer
	switch {
	case when == 0:
		if entry.index > 0 {
			heap.Remove(&t.queue, entry.index-1)
		}
		return
	case entry.index > 0:
		entry.when = when
		heap.Fix(&t.queue, entry.index-1)
	default:
		entry.when = when
		heap.Push(&t.queue, c)
	}
	if entry.index == 1 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// due takes one connection whose deadline has passed off the heap. If there is none, it returns
// how long to wait.
func (t *timers) due(now time.Duration) (c *Conn, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return nil, time.Hour
	}
	if wait := t.queue[0].timer.when - now; wait > 0 {
		return nil, wait
	}
	return heap.Pop(&t.queue).(*Conn), 0
}

// run wakes connections until stop is closed. Deadlines count from when the server started.
func (t *timers) run(started time.Time) {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		now := time.Since(started)
		c, wait := t.due(now)
		if c != nil {
			c.onDeadline(now)
			continue
		}
		alarm.Reset(wait)
		select {
		case <-alarm.C:
		case <-t.wake:
		case <-t.stop:
			return
		}
	}
}

// deadlineHeap orders connections by their next deadline.
type deadlineHeap []*Conn

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].timer.when < h[j].timer.when }

func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer.index, h[j].timer.index = i+1, j+1
}

func (h *deadlineHeap) Push(x any) {
	c := x.(*Conn)
	*h = append(*h, c)
	c.timer.index = len(*h)
}

func (h *deadlineHeap) Pop() any {
	old := *h
	last := len(old) - 1
	c := old[last]
	old[last] = nil
	*h = old[:last]
	c.timer.index = 0
	return c
}
