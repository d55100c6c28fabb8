package outcome

import "sync"

// Bounds of what waits for one watcher. A single event may have more bytes.
const (
	maxQueued      = 2048
	maxQueuedBytes = 2 << 20
)

// Watcher gets the events that match its filter until it is closed. Its methods may be called
// concurrently, except that only one goroutine at a time may call Take.
type Watcher struct {
	// Static.
	id     uint64
	owner  string
	filter Filter
	remote bool          // it stands for a watcher of another node
	ready  chan struct{} // receives a value when there may be something to take
	done   chan struct{} // closed by close

	mu     sync.Mutex
	queue  []Event
	bytes  int
	missed uint64
	closed bool
}

func newWatcher(id uint64, owner string, filter Filter, ready chan struct{}) *Watcher {
	return &Watcher{id: id, owner: owner, filter: filter, ready: ready, done: make(chan struct{})}
}

// Offer queues an event if it matches the filter. If the queue is full, it counts as missed.
func (w *Watcher) Offer(e *Event) {
	if w.filter.match(e) {
		w.push(e)
	}
}

func (w *Watcher) push(e *Event) {
	w.mu.Lock()
	size := e.size()
	switch {
	case w.closed:
	case len(w.queue) > 0 && (len(w.queue) >= maxQueued || w.bytes+size > maxQueuedBytes):
		w.missed++
	default:
		w.queue = append(w.queue, *e)
		w.bytes += size
	}
	w.mu.Unlock()
	w.wake()
}

// miss counts events that didn't reach the queue.
func (w *Watcher) miss(n uint64) {
	if n == 0 {
		return
	}
	w.count(n)
	w.wake()
}

// count is miss without saying so: whoever takes the next event learns of it.
func (w *Watcher) count(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missed += n
}

// wake says that there may be something to take.
func (w *Watcher) wake() { signal(w.ready) }

// Take returns what has been queued since the last call, oldest first, and how many events
// were missed meanwhile.
func (w *Watcher) Take() (events []Event, missed uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, missed = w.queue, w.missed
	w.queue, w.bytes, w.missed = nil, 0, 0
	return events, missed
}

// Ready returns a channel that receives a value when there may be something to take.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Done returns a channel that is closed when the watcher is.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// close ends the queue. It reports whether this call did.
func (w *Watcher) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.closed, w.queue, w.bytes = true, nil, 0
	close(w.done)
	return true
}
