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
	first   *Conn // linked by Conn.next
	last    *Conn
	stopped bool
}

func newFlushQueue() *flushQueue {
	q := &flushQueue{}
	q.filled.L = &q.mu
	return q
}

func (q *flushQueue) push(c *Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
	q.filled.Signal()
}

// pop waits for a connection. It returns nil once the queue is stopped and empty.
func (q *flushQueue) pop() *Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.first == nil {
		if q.stopped {
			return nil
		}
		q.wait()
	}
	c := q.first
	q.first, c.next = c.next, nil
	if q.first == nil {
		q.last = nil
	}
	return c
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

// flusher writes one connection at a time and never waits for one. Its fields are the arguments
// and results of one write, so that writing doesn't allocate.
type flusher struct {
	scratch []byte
	attempt func(fd uintptr) bool // f.tryOnce, bound once

	chunk   []byte
	written int
	err     error
}

func newFlusher() *flusher {
	f := &flusher{scratch: make([]byte, flushChunk)}
	f.attempt = f.tryOnce
	return f
}

func (f *flusher) run(q *flushQueue) {
	for c := q.pop(); c != nil; c = q.pop() {
		f.flush(c)
	}
}

func (f *flusher) flush(c *Conn) {
	l, chunk := c.takeChunk(f.scratch)
	if l == nil {
		return
	}
	f.chunk = chunk
	err := l.raw.Write(f.attempt)
	if err == nil {
		err = f.err
	}
	f.chunk = nil
	c.wrote(f.written, f.written < len(chunk), err)
}

func (f *flusher) tryOnce(fd uintptr) bool {
	f.written, _, f.err = tryWrite(fd, f.chunk)
	return true
}

// schedule hands the connection to the flushers, unless they have it. A connection that is being
// written is handed over after that. The caller holds mu.
func (c *Conn) schedule() {
	if !c.scheduled && !c.busy {
		c.scheduled = true
		c.server.flushing.push(c)
	}
}

// takeChunk returns what a flusher is to write next, and where to; nil if there is nothing to do.
func (c *Conn) takeChunk(scratch []byte) (*link, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scheduled = false
	if c.busy || c.out.empty() {
		return nil, nil
	}
	c.busy = true
	if c.ws.raw == nil {
		c.server.writers.Go(func() { c.writeStream(c.ws) })
		return nil, nil
	}
	return c.ws, c.out.gather(scratch)
}

// wrote takes n written bytes off the queue and has the rest written. full says that the socket's
// buffer was full.
func (c *Conn) wrote(n int, full bool, err error) {
	c.mu.Lock()
	c.busy = false
	if c.state == stateClosed {
		c.mu.Unlock()
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
		c.schedule()
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
	c.busy = true
	l, chunk := c.ws, c.out.gather(nil)
	c.mu.Unlock()
	n, err := l.writeSome(chunk, false)
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
	}
	if err == nil {
		err = l.nc.SetWriteDeadline(time.Time{})
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
