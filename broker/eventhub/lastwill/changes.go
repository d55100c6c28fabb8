package lastwill

import (
	"sync"
	"sync/atomic"

	"github.com/salabroker/sala/broker/eventhub"
)

// changes are the sockets of this node that have come and gone since the heir was
// told.
type changes struct {
	noted atomic.Bool // rather than ignored

	mu        sync.Mutex
	connected []*eventhub.Socket
	ended     []string
	tooMany   bool
}

// Connected says that a socket has connected, before backends hear of it. It never
// waits, and asks what the socket is only if somebody is to know.
func (w *Wills) Connected(describe func() *eventhub.Socket) {
	if w.changes.noted.Load() {
		s := describe()
		w.changes.note(func(c *changes) { c.connected = append(c.connected, s) })
		w.ring()
	}
}

// Ended says that a socket is gone, after backends have heard of it. It never
// waits.
func (w *Wills) Ended(id string) {
	if w.changes.noted.Load() {
		w.changes.note(func(c *changes) { c.ended = append(c.ended, id) })
		w.ring()
	}
}

func (c *changes) note(change func(*changes)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.connected)+len(c.ended) >= maxPending {
		c.tooMany, c.connected, c.ended = true, nil, nil
	}
	if !c.tooMany {
		change(c)
	}
}

// take returns the changes since it was called last. ok is false if there were
// too many to be noted.
func (c *changes) take() (connected []*eventhub.Socket, ended []string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	connected, ended, ok = c.connected, c.ended, !c.tooMany
	c.connected, c.ended, c.tooMany = nil, nil, false
	return connected, ended, ok
}
