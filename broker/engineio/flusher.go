package engineio

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// flushChunk is how many bytes of small frames are copied together for one write. It bounds
	// how long one connection can keep a flusher from the others.
	flushChunk = 64 << 10
	// streamChunk is how many bytes are written at a time to a connection that only takes
	// blocking writes. Each write has WriteTimeout.
	streamChunk = 16 << 10
)

// flushQueue holds the connections with something to write, each at most once, in order.
type flushQueue struct {
	mu      sync.Mutex
	filled  sync.Cond
	ring    []*Conn // its length is a power of two, and at most twice the most connections
	first   int     // position of the first in ring
	n       int     // how many there are
	stopped bool
}

func newFlushQueue() *flushQueue {
	q := &flushQueue{ring: make([]*Conn, 4*batchSize)}
	q.filled.L = &q.mu
	return q
}

// push appends connections, and wakes a flusher. A flusher takes no more than a batch, and a batch is
// the most that is pushed at once. So there are enough flushers awake.
func (q *flushQueue) push(conns ...*Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n+len(conns) > len(q.ring) {
		q.grow()
	}
	for _, c := range conns {
		q.ring[(q.first+q.n)&(len(q.ring)-1)] = c
		q.n++
	}
	q.filled.Signal()
}

// grow doubles the ring. The caller holds mu.
func (q *flushQueue) grow() {
	larger := make([]*Conn, 2*len(q.ring))
	n := copy(larger, q.ring[q.first:])
	copy(larger[n:], q.ring[:q.first])
	q.ring, q.first = larger, 0
}

// pop waits for connections, moves some into the batch and returns how many. It returns 0 once the
// queue is stopped and empty.
func (q *flushQueue) pop(into *[batchSize]*Conn) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n == 0 {
		if q.stopped {
			return 0
		}
		q.wait()
	}
	n := min(q.n, batchSize)
	for i := range n {
		into[i], q.ring[q.first] = q.ring[q.first], nil
		q.first = (q.first + 1) & (len(q.ring) - 1)
	}
	q.n -= n
	return n
}

// wait waits until something is pushed. Then it yields to the goroutines that are about to push,
// so that what several calls have for one connection becomes one write. The caller holds mu,
// which wait releases meanwhile.
func (q *flushQueue) wait() {
	q.filled.Wait()
	q.mu.Unlock()
	runtime.Gosched()
	q.mu.Lock()
}

func (q *flushQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.filled.Broadcast()
}

// flusher writes one connection after the other and never waits for one.
type flusher struct {
	scratch []byte
	batch   [batchSize]*Conn
}

func newFlusher() *flusher { return &flusher{scratch: make([]byte, flushChunk)} }

func (f *flusher) run(q *flushQueue) {
	for n := q.pop(&f.batch); n > 0; n = q.pop(&f.batch) {
		for i, c := range f.batch[:n] {
			f.batch[i] = nil
			f.flush(c)
		}
	}
}

func (f *flusher) flush(c *Conn) {
	chunk, number := c.takeChunk(f.scratch)
	if chunk == nil {
		return
	}
	n, err := c.tryWrite(number, chunk)
	c.wrote(n, n < len(chunk), err)
}

// schedule hands the connection to the flushers, unless they have it, with a batch if it isn't nil. A
// connection that is being written is handed over after that. The caller holds mu.
func (c *Conn) schedule(with *Batch) {
	if c.scheduled || c.busy {
		return
	}
	c.scheduled = true
	if with != nil {
		with.add(c)
	} else {
		c.server.flushing.push(c)
	}
}

// takeChunk returns what a flusher is to write next, and holds the descriptor, whose number it
// returns; nil if there is nothing to do.
func (c *Conn) takeChunk(scratch []byte) (chunk []byte, number int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scheduled = false
	if c.busy || c.out.empty() { // empty, for example, since the connection has ended
		return nil, 0
	}
	c.busy = true
	number = c.socket.number
	if number == 0 && c.ws.raw == nil {
		c.server.writers.Go(func() { c.writeStream(c.ws) })
		return nil, 0
	}
	c.socket.held = true
	return c.out.gather(scratch), number
}

// wrote takes n written bytes off the queue and has the rest written. full says that the socket's
// buffer was full.
func (c *Conn) wrote(n int, full bool, err error) {
	c.mu.Lock()
	c.busy, c.socket.held = false, false
	if c.state == stateClosed {
		left, abrupt := c.socket.left, c.socket.abrupt
		c.mu.Unlock()
		if left {
			c.closeSocket(c.ws, abrupt)
		}
		return
	}
	c.out.advance(n)
	c.notePing()
	c.stalled = full && err == nil
	closed := false
	switch {
	case err != nil:
	case full:
		c.busy = true
		c.server.writers.Go(func() { c.writeWhenReady(c.ws) })
	case c.out.empty():
		closed = c.flushedClose()
	default:
		c.schedule(nil)
	}
	c.mu.Unlock()

	if err != nil {
		c.terminate(writeReason(err), err)
	} else if closed {
		c.terminate(ReasonForcedClose, nil)
	}
}

// flushedClose is called when everything has been written. It reports whether a closing
// connection has ended with that. If not, the connection waits a little for the peer's close
// frame. The caller holds mu.
func (c *Conn) flushedClose() bool {
	if c.state != stateClosing {
		return false
	}
	if c.peerDone {
		return true
	}
	if c.broken {
		c.ws.closeWrite()
	}
	c.limitClose()
	return false
}

func writeReason(err error) Reason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ReasonSlowConsumer
	}
	return ReasonTransportError
}

// makeRoom is for a sender that finds the queue full although the socket takes bytes: the
// flushers are behind, and not the client. The sender then writes a frame itself, without waiting
// for the client. makeRoom reports whether the sender should look again. The caller holds mu,
// which makeRoom releases meanwhile.
func (c *Conn) makeRoom() bool {
	if c.state != stateOpen || c.ws == nil || c.ws.raw == nil || c.poll != nil || c.stalled {
		return false
	}
	if c.busy { // another goroutine is in a write, which doesn't wait either
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		return true
	}
	c.busy, c.socket.held = true, true
	number, chunk := c.socket.number, c.out.gather(nil)
	c.mu.Unlock()
	n, err := c.tryWrite(number, chunk)
	c.wrote(n, n < len(chunk), err)
	c.mu.Lock()
	return true
}

// writeWhenReady waits until a stalled socket takes bytes again. It runs on its own goroutine,
// and writes from the first frame without a buffer.
func (c *Conn) writeWhenReady(l *link) {
	c.mu.Lock()
	chunk := c.out.gather(nil)
	c.mu.Unlock()
	if chunk == nil {
		return // the connection has ended
	}
	n := 0
	err := l.nc.SetWriteDeadline(time.Now().Add(c.server.opts.WriteTimeout))
	if err == nil {
		n, err = l.writeSome(chunk, true)
		l.clearWriteDeadline()
	}
	c.wrote(n, false, err)
}

// writeStream writes once to a connection that only takes blocking writes. It runs on its own
// goroutine.
func (c *Conn) writeStream(l *link) {
	scratch := c.server.buffers.get()
	defer c.server.buffers.put(scratch)
	c.mu.Lock()
	chunk := c.out.gather(scratch[:])
	c.mu.Unlock()
	if chunk == nil {
		return // the connection has ended
	}
	chunk = chunk[:min(len(chunk), streamChunk)]
	err := l.write(chunk, c.server.opts.WriteTimeout)
	c.wrote(len(chunk), false, err)
}
