package engineio

import (
	"log/slog"
	"net"
	"sync"
)

// errIdle is what a reader returns when nothing has arrived and its connection can wait without a
// goroutine. For crypto/tls it is a temporary error: see tlsSocket.
var errIdle net.Error = idleError{}

type idleError struct{}

func (idleError) Error() string   { return "engineio: nothing to read" }
func (idleError) Timeout() bool   { return true }
func (idleError) Temporary() bool { return true }

// parker holds the WebSocket connections that wait for their client to send something. A parked
// connection has no goroutine, and so no stack. Most connections are silent most of the time, and a
// stack would be most of what they cost.
//
// A connection's reading goroutine parks the connection and then returns. The poller starts another
// reading goroutine when there is something to read, and so does terminate when it has closed the
// socket.
//
// # Order
//
// Somebody must resume every parked connection. park stores the reader in one step under mu. The
// poller and terminate note that the socket is readable in one step under the same mu. So one of the
// two comes first:
//
//   - The reader is stored first. The note finds it and resumes it.
//   - The note comes first. It sets parkState.readable, and park refuses. So the reader reads again
//     and gets what has arrived, or the error of a closed socket, as terminate closes the socket
//     before it leaves the note.
//
// The poller reports nothing about a closed socket, so terminate's note is the only one. The first
// park stores the reader before it has the poller watch the socket. If the poller can't watch it,
// because the socket is closed or the system watches too many, park takes the reader back unless
// somebody has resumed it.
type parker struct {
	// Static.
	log     *slog.Logger
	loops   *sync.WaitGroup // counts the poller's goroutine
	reading *readPool

	begin  sync.Once // opens the poller with the first park
	works  bool      // static after begin
	poller poller

	mu     sync.Mutex
	slots  []*Conn // by pollKey.slot
	free   []int32 // slots
	serial int32   // of the last connection that got a slot
}

// parkState is what the parker knows about a connection. parker.mu guards it.
type parkState struct {
	reader   *reader // of a parked connection whose reader isn't blank; otherwise nil
	parked   bool
	readable bool // there may be something to read that the poller won't report again
	closed   bool // either side has closed the connection: the end is to be read, behind what came before
	watched  bool // it has a slot, and the poller watches its socket
	key      pollKey
}

// pollKey identifies a connection to the poller. The serial number tells it from an earlier
// connection in the same slot, whose last event may still be on its way.
type pollKey struct{ slot, serial int32 }

func (p *parker) open() {
	if err := p.poller.open(); err != nil {
		p.log.Warn("engineio: idle connections will each keep a goroutine", "error", err)
		return
	}
	p.works = true
	p.loops.Go(func() { p.poller.run(p.onReadable) })
}

// close ends the poller's goroutine. No connection may be parked any longer.
func (p *parker) close() {
	p.begin.Do(func() {}) // nothing opens the poller from now on
	if p.works {
		p.poller.close()
	}
}

// parkResult is the result of an attempt to park.
type parkResult uint8

const (
	parked     parkResult = iota
	readAgain             // there is something to read
	cannotPark            // the connection can't be parked
)

// park has c resumed when there is something to read, with the reader keep, which may be nil. l is
// its link. The caller is c's reading goroutine. It must use neither c nor keep after the result parked.
func (p *parker) park(c *Conn, l *link, keep *reader) parkResult {
	p.begin.Do(p.open)
	if !p.works {
		return cannotPark
	}
	p.mu.Lock()
	s := &c.parkState
	if s.readable || s.closed {
		s.readable = false
		p.mu.Unlock()
		return readAgain
	}
	watched := s.watched
	if !watched {
		p.assign(c)
	}
	s.reader, s.parked = keep, true
	key := s.key
	p.mu.Unlock()
	if watched {
		return parked
	}
	if err := p.poller.watch(l.socket(), key); err != nil {
		return p.takeBack(c)
	}
	return parked
}

// takeBack takes the reader of c back because the poller can't watch its socket, unless somebody has
// resumed c meanwhile.
func (p *parker) takeBack(c *Conn) parkResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.parkState.parked {
		return parked
	}
	p.vacate(c)
	return cannotPark
}

// onReadable resumes the connection with the key. If the peer has closed it, the connection isn't
// parked again: no other report would follow, and it may take several reads to come to the end.
func (p *parker) onReadable(key pollKey, closed bool) {
	p.mu.Lock()
	c := p.slots[key.slot]
	resumed, r := false, (*reader)(nil)
	if c != nil && c.parkState.key == key {
		resumed, r = c.parkState.noteReadable(closed)
	}
	p.mu.Unlock()
	if resumed {
		p.reading.start(c, r)
	}
}

// socketClosed resumes c, whose socket has been closed, or keeps it from being parked again.
func (p *parker) socketClosed(c *Conn) {
	p.mu.Lock()
	resumed, r := c.parkState.noteReadable(true)
	p.mu.Unlock()
	if resumed {
		p.reading.start(c, r)
	}
}

// noteReadable notes that there is something to read, and whether that includes the end. It reports
// whether the connection was parked, so that it has to be resumed with the reader r. The caller holds
// parker.mu.
func (s *parkState) noteReadable(closed bool) (resumed bool, r *reader) {
	resumed, r = s.parked, s.reader
	s.parked, s.reader = false, nil
	s.readable = !resumed
	s.closed = s.closed || closed
	return resumed, r
}

// forget gives c's slot back. c must not be parked.
func (p *parker) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vacate(c)
}

// assign gives c a slot. The caller holds mu.
func (p *parker) assign(c *Conn) {
	p.serial++
	s := &c.parkState
	s.watched = true
	if n := len(p.free); n > 0 {
		s.key = pollKey{p.free[n-1], p.serial}
		p.free = p.free[:n-1]
		p.slots[s.key.slot] = c
		return
	}
	slot := int32(len(p.slots)) //nolint:gosec // there are no more than file descriptors
	s.key = pollKey{slot, p.serial}
	p.slots = append(p.slots, c)
}

// vacate gives c's slot back if it has one. The caller holds mu.
func (p *parker) vacate(c *Conn) {
	s := &c.parkState
	if !s.watched {
		return
	}
	p.slots[s.key.slot] = nil
	p.free = append(p.free, s.key.slot)
	*s = parkState{}
}
