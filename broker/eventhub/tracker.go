package eventhub

import "sync/atomic"

// Tracker says when every event that was published with it ([Hub.PublishTracked]) has been handed
// to a member of each group that wants it, or can't be handed to any.
type Tracker struct {
	pending atomic.Int64 // deliveries to groups, and one until Seal
	done    chan struct{}
}

// NewTracker returns a tracker without events.
func NewTracker() *Tracker {
	t := &Tracker{done: make(chan struct{})}
	t.pending.Store(1)
	return t
}

// Seal says that no more events follow. It is called once.
func (t *Tracker) Seal() { t.finish() }

// Done returns a channel that is closed once the tracker is sealed and all its events have been
// handed out.
func (t *Tracker) Done() <-chan struct{} { return t.done }

func (t *Tracker) add() {
	if t != nil {
		t.pending.Add(1)
	}
}

// finish notes that one group is done with one event.
func (t *Tracker) finish() {
	if t == nil {
		return
	}
	left := t.pending.Add(-1)
	if left == 0 {
		close(t.done)
	}
}
