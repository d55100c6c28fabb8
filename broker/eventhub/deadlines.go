package eventhub

import (
	"sync"
	"time"
)

// deadlines ends questions that nobody answers, with one goroutine and one timer for all of them.
// All questions have the same timeout, so the first one in the list is always the next one due.
type deadlines struct {
	timeout time.Duration
	wake    chan struct{} // holds a token when the empty list has got a question
	stop    chan struct{}
	stopped chan struct{}

	mu          sync.Mutex
	first, last *question
}

// place is where a question is in the list. Guarded by deadlines.mu.
type place struct {
	listed     bool
	when       time.Time
	prev, next *question
}

func newDeadlines(timeout time.Duration) *deadlines {
	return &deadlines{
		timeout: timeout,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
}

// add gives q its deadline.
func (d *deadlines) add(q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.place = place{listed: true, when: time.Now().Add(d.timeout), prev: d.last}
	if d.last != nil {
		d.last.place.next = q
		d.last = q
		return
	}
	d.first, d.last = q, q
	notify(d.wake)
}

// remove takes q off the list, if it is there.
func (d *deadlines) remove(q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unlink(q)
}

// unlink takes q off the list, if it is there. The caller holds mu.
func (d *deadlines) unlink(q *question) {
	if !q.place.listed {
		return
	}
	before, after := q.place.prev, q.place.next
	if before != nil {
		before.place.next = after
	} else {
		d.first = after
	}
	if after != nil {
		after.place.prev = before
	} else {
		d.last = before
	}
	q.place = place{}
}

// due takes one question whose deadline has passed off the list, or returns how long to wait.
func (d *deadlines) due(now time.Time) (q *question, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first == nil {
		return nil, time.Hour
	}
	if wait := d.first.place.when.Sub(now); wait > 0 {
		return nil, wait
	}
	q = d.first
	d.unlink(q)
	return q, 0
}

// run ends questions until stop is closed.
func (d *deadlines) run() {
	defer close(d.stopped)
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		q, wait := d.due(time.Now())
		if q != nil {
			q.expire()
			continue
		}
		alarm.Reset(wait)
		select {
		case <-alarm.C:
		case <-d.wake:
		case <-d.stop:
			return
		}
	}
}
