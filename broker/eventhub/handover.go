package eventhub

import "sync/atomic"

// Handover tells when all events that were published with it
// ([Hub.PublishTracked]) have been handed to a member of every group that wants
// them, or can't be handed to any.
type Handover struct {
	open atomic.Int64 // events and groups, and one until Seal
	done chan struct{}
}

// NewHandover returns a handover without events.
func NewHandover() *Handover {
	h := &Handover{done: make(chan struct{})}
	h.open.Store(1)
	return h
}

// Seal says that no more events follow. It is called once.
func (h *Handover) Seal() { h.settle() }

// Done returns a channel that is closed when the handover is sealed and all its
// events have been handed out.
func (h *Handover) Done() <-chan struct{} { return h.done }

func (h *Handover) add() {
	if h != nil {
		h.open.Add(1)
	}
}

// settle takes note that one group is done with one event.
func (h *Handover) settle() {
	if h != nil && h.open.Add(-1) == 0 {
		close(h.done)
	}
}
