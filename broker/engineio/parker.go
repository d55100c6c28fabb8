package engineio

import (
	"errors"
	"log/slog"
	"sync"
)

// errIdle is what a reader returns when nothing has arrived and its connection can wait without a goroutine.
var errIdle = errors.New("engine: nothing to read")

// idlers holds the WebSocket connections that wait for their client to send something. They have no goroutine, and so
// no stack, until it does: most connections are silent most of the time, and a stack is most of what they would cost.
//
// A connection is parked by its reading goroutine, which then leaves it. Whoever takes it out again, the poller when
// there is something to read or the one who closes it, finds it another.
//
// # Order
//
// A parked connection must have somebody who will resume it. park stores the reader in one step under mu. The poller
// and terminate announce themselves in one step under the same mu. So one of the two comes first:
//
//   - The reader is stored first: the announcement finds it and resumes it.
//   - The announcement comes first: it leaves arrived behind, and park refuses, so that the reader reads again. It gets
//     what has arrived, or the error of a closed socket, since terminate closes the socket before it announces that.
//
// A closed socket reports nothing to the poller, so terminate's announcement is the only one there will be. The first
// park stores the reader before it has the socket watched. If the socket can't be watched, because it is closed or the
// system watches too many, park takes the reader back, unless an announcement has resumed it already.
type idlers struct {
	// Static.
	log     *slog.Logger
	loops   *sync.WaitGroup // has the poller's goroutine
	reading *readPool

	begin  sync.Once // the first to park opens the poller
	works  bool      // static after begin
	poller poller

	mu     sync.Mutex
	slots  []*Conn // by the number that the poller knows them by
	free   []int32
	serial int32 // of the last connection that got a slot
}

// parking is a connection's place among the idlers. Guarded by idlers.mu.
type parking struct {
	reader  *reader // nil unless it is parked
	arrived bool    // there may be something to read that no further report will tell of
	slotted bool
	ticket  ticket
}

// ticket identifies a connection to the poller. The serial number tells it from an earlier one in the same slot, whose
// last event may still be on its way.
type ticket struct{ slot, serial int32 }

func (i *idlers) open() {
	if err := i.poller.open(); err != nil {
		i.log.Warn("engine: idle connections will each keep a goroutine", "error", err)
		return
	}
	i.works = true
	i.loops.Go(func() { i.poller.run(i.wake) })
}

// close ends the poller's goroutine. Nobody may be parked any more.
func (i *idlers) close() {
	i.begin.Do(func() {})
	if i.works {
		i.poller.close()
	}
}

// wake resumes the connection that has the ticket. If its peer has closed it, it is read once more than what comes
// first asks for: no other report would follow.
func (i *idlers) wake(t ticket, closed bool) {
	i.mu.Lock()
	c := i.slots[t.slot]
	var r *reader
	if c != nil && c.parking.ticket == t {
		r = c.parking.announce(closed)
	}
	i.mu.Unlock()
	i.resume(c, r)
}

// closed resumes c, whose socket has been closed, or keeps it from being parked again.
func (i *idlers) closed(c *Conn) {
	i.mu.Lock()
	r := c.parking.announce(true)
	i.mu.Unlock()
	i.resume(c, r)
}

// announce notes that there is something to read and returns who is to read it; nil if that one is at it already. again
// says that it has to look once more than it would. The caller holds idlers.mu.
func (p *parking) announce(again bool) *reader {
	r := p.reader
	p.reader, p.arrived = nil, again || r == nil
	return r
}

// resume starts a reading goroutine for c if it was parked.
func (i *idlers) resume(c *Conn, r *reader) {
	if r != nil {
		i.reading.start(c, r)
	}
}

// park has c resumed when there is something to read. The caller, c's reading goroutine, must leave it, unless park
// reports that there is something to read already, or that c can't be parked now.
func (i *idlers) park(c *Conn, r *reader) parked {
	i.begin.Do(i.open)
	if !i.works {
		return cannotPark
	}
	i.mu.Lock()
	if c.parking.arrived {
		c.parking.arrived = false
		i.mu.Unlock()
		return readAgain
	}
	known := c.parking.slotted
	if !known {
		i.assign(c)
	}
	c.parking.reader = r
	t := c.parking.ticket
	i.mu.Unlock()
	if known {
		return isParked
	}
	err := i.poller.watch(r.link.raw, t)
	if err != nil && i.unwatched(c) {
		return cannotPark
	}
	return isParked
}

// parked says what became of an attempt to park.
type parked uint8

const (
	isParked   parked = iota
	readAgain         // there is something to read
	cannotPark        // the connection can't be parked, here or for now
)

// assign gives c a slot. The caller holds mu.
func (i *idlers) assign(c *Conn) {
	i.serial++
	c.parking.slotted = true
	if n := len(i.free); n > 0 {
		c.parking.ticket = ticket{i.free[n-1], i.serial}
		i.free = i.free[:n-1]
		i.slots[c.parking.ticket.slot] = c
		return
	}
	slot := int32(len(i.slots)) //nolint:gosec // there are no more than file descriptors
	c.parking.ticket = ticket{slot, i.serial}
	i.slots = append(i.slots, c)
}

// unwatched takes c back whose socket can't be watched. It reports false if somebody has resumed c meanwhile.
func (i *idlers) unwatched(c *Conn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if c.parking.reader == nil {
		return false
	}
	i.vacate(c)
	return true
}

// forget gives c's slot back. c must not be parked any more.
func (i *idlers) forget(c *Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.vacate(c)
}

// vacate gives c's slot back if it has one. The caller holds mu.
func (i *idlers) vacate(c *Conn) {
	if !c.parking.slotted {
		return
	}
	i.slots[c.parking.ticket.slot] = nil
	i.free = append(i.free, c.parking.ticket.slot)
	c.parking = parking{}
}
