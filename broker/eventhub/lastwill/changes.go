package lastwill

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/salabroker/sala/broker/eventhub"
	"github.com/salabroker/sala/broker/presence"
)

// maxPending is how many changes may wait to be sent. With more, new epochs begin.
const maxPending = 50_000

// changes are the sockets of this node that have come and gone since the last update of the
// successors.
type changes struct {
	wanted atomic.Bool // there are successors

	mu sync.Mutex
	batch
}

// batch is the changes between two updates.
type batch struct {
	connected []*eventhub.Socket
	ended     []string
	places    map[presence.Place]bool // false for those that aren't deposited any longer
	tooMany   bool                    // to keep them
	takes     uint64                  // how many sockets this node had ever taken over by then
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

// Deposit says that a user is in a place at this node, or isn't any longer, so that others take care
// of it if the node is lost. It never waits.
func (r *Registry) Deposit(p presence.Place, present bool) {
	if r.changes.wanted.Load() {
		r.changes.add(func(c *changes) {
			if c.places == nil {
				c.places = make(map[presence.Place]bool)
			}
			c.places[p] = present
		})
		notify(r.wake)
	}
}

// size returns how many changes there are.
func (b *batch) size() int { return len(b.connected) + len(b.ended) + len(b.places) }

// takenOver is like Connected, for a socket that this node has taken over. It returns the number of
// the take-over.
func (c *changes) takenOver(s *eventhub.Socket) (number uint64) {
	if c.wanted.Load() {
		c.add(func(c *changes) {
			// An update is applied as if all its ends came last.
			c.ended = slices.DeleteFunc(c.ended, func(id string) bool { return id == s.ID })
			c.connected = append(c.connected, s)
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takes++
	return c.takes
}

func (c *changes) add(change func(*changes)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size() >= maxPending {
		c.tooMany, c.connected, c.ended, c.places = true, nil, nil, nil
	}
	if !c.tooMany {
		change(c)
	}
}

// take returns the changes since the last call.
func (c *changes) take() batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.batch
	c.batch = batch{takes: b.takes}
	return b
}
