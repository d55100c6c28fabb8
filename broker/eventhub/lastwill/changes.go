package lastwill

import (
	"sync"
	"sync/atomic"

	"github.com/salabroker/sala/broker/eventhub"
)

// maxPending is how many changes may wait to be sent. With more, new epochs begin.
const maxPending = 50_000

// changes are the sockets of this node that have come and gone since the last update of the
// successors.
type changes struct {
	wanted atomic.Bool // there are successors

	mu        sync.Mutex
	connected []*eventhub.Socket
	ended     []string
	tooMany   bool
}

// Connected says that a socket has connected, before its Connect is published, or that its client has
// returned over another connection, so that the description is another one. It never waits, and calls
// describe only if there are successors.
func (r *Registry) Connected(describe func() *eventhub.Socket) {
	if r.changes.wanted.Load() {
		s := describe()
		r.changes.add(func(c *changes) { c.connected = append(c.connected, s) })
		notify(r.wake)
	}
}

// Ended says that a socket is gone, after its Disconnect was published. It never waits.
func (r *Registry) Ended(id string) {
	if r.changes.wanted.Load() {
		r.changes.add(func(c *changes) { c.ended = append(c.ended, id) })
		notify(r.wake)
	}
}

func (c *changes) add(change func(*changes)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.connected)+len(c.ended) >= maxPending {
		c.tooMany, c.connected, c.ended = true, nil, nil
	}
	if !c.tooMany {
		change(c)
	}
}

// take returns the changes since the last call. ok is false if there were too many to keep.
func (c *changes) take() (connected []*eventhub.Socket, ended []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	connected, ended, ok = c.connected, c.ended, !c.tooMany
	c.connected, c.ended, c.tooMany = nil, nil, false
	return connected, ended, ok
}
