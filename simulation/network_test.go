package simulation

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// sendBuffer is how many bytes a direction of a connection takes that its reader
// hasn't read.
const sendBuffer = 32 << 10

// stream is one direction of a connection: bytes that arrive in order, each write
// after a latency. Its methods may be called concurrently.
type stream struct {
	latency time.Duration

	mu       sync.Mutex
	lag      time.Duration // by which what is written from now on is late
	changed  sync.Cond
	segments []segment
	size     int       // bytes in segments, and those that were lost
	last     time.Time // when the last segment arrives
	lossy    bool      // what is written never arrives, and the writer isn't told
	readErr  error     // what the reader gets after the segments; nil while the stream works
	writeErr error     // what the writer gets; nil while the stream works
	reading  deadline
	writing  deadline
}

// segment is what one write has written.
type segment struct {
	at   time.Time
	data []byte
}

// deadline ends a wait.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func newStream(latency time.Duration) *stream {
	s := &stream{latency: latency}
	s.changed.L = &s.mu
	return s
}

func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// setDeadline changes one of the stream's deadlines.
func (s *stream) setDeadline(d *deadline, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, s.wake)
	}
	s.changed.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && time.Until(d.at) <= 0 }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.reading.passed() {
			return 0, os.ErrDeadlineExceeded
		}
		if len(s.segments) > 0 && time.Until(s.segments[0].at) <= 0 {
			return s.take(p), nil
		}
		if s.readErr != nil && len(s.segments) == 0 {
			return 0, s.readErr
		}
		s.changed.Wait()
	}
}

// take moves bytes that have arrived to p. The caller holds mu.
func (s *stream) take(p []byte) int {
	n := 0
	for len(s.segments) > 0 && n < len(p) && time.Until(s.segments[0].at) <= 0 {
		first := &s.segments[0]
		k := copy(p[n:], first.data)
		n += k
		first.data = first.data[k:]
		if len(first.data) == 0 {
			s.segments = s.segments[1:]
		}
	}
	s.size -= n
	s.changed.Broadcast()
	return n
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for {
		switch {
		case s.writeErr != nil:
			return n, s.writeErr
		case s.writing.passed():
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		room := min(sendBuffer-s.size, len(p)-n)
		if room <= 0 {
			s.changed.Wait()
			continue
		}
		s.push(p[n : n+room])
		n += room
	}
}

// push sends bytes on their way. The caller holds mu.
func (s *stream) push(p []byte) {
	s.size += len(p)
	if s.lossy || s.readErr != nil {
		return
	}
	at := time.Now().Add(s.latency + s.lag)
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	s.segments = append(s.segments, segment{at: at, data: slices.Clone(p)})
	if s.latency+s.lag > 0 {
		time.AfterFunc(time.Until(at), s.wake)
	}
	s.changed.Broadcast()
}

// delay has everything arrive late that is written from now on.
func (s *stream) delay(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag
}

// end has the reader get err once it has read what is on its way.
func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readErr == nil && !s.lossy {
		s.readErr = err
		s.changed.Broadcast()
	}
}

// lose drops what is on its way except keep of its bytes, and everything that is
// written from now on.
func (s *stream) lose(keep float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, g := range s.segments {
		total += len(g.data)
	}
	left := int(keep * float64(total))
	for i := range s.segments {
		g := &s.segments[i]
		g.data = g.data[:min(left, len(g.data))]
		left -= len(g.data)
	}
	s.segments = slices.DeleteFunc(s.segments, func(g segment) bool { return len(g.data) == 0 })
	s.lossy = true
	s.changed.Broadcast()
}

// failRead has the reader get err once it has read what has not been lost.
func (s *stream) failRead(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readErr == nil {
		s.readErr = err
	}
	s.changed.Broadcast()
}

// failWrite has the writer get err.
func (s *stream) failWrite(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr == nil {
		s.writeErr = err
	}
	s.changed.Broadcast()
}

// conn is one end of a connection in memory. It implements [net.Conn]. Its waits are
// durable blocks in the sense of testing/synctest.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	close         sync.Once
}

// pipe returns the ends of a connection with a latency each way.
func pipe(client, server net.Addr, latency time.Duration) (clientEnd, serverEnd *conn) {
	up, down := newStream(latency), newStream(latency)
	return &conn{in: down, out: up, local: client, remote: server}, &conn{in: up, out: down, local: server, remote: client}
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *conn) LocalAddr() net.Addr         { return c.local }
func (c *conn) RemoteAddr() net.Addr        { return c.remote }

// Close closes this end. The other end gets what is on its way and then EOF; what it
// writes from then on is answered with a reset.
func (c *conn) Close() error {
	c.close.Do(func() {
		c.in.mu.Lock()
		c.in.readErr = net.ErrClosed
		c.in.segments = nil
		c.in.reading.stop()
		cut := c.in.lossy
		c.in.changed.Broadcast()
		c.in.mu.Unlock()
		c.out.end(io.EOF)
		c.out.failWrite(net.ErrClosed)
		c.out.mu.Lock()
		c.out.writing.stop()
		c.out.mu.Unlock()
		if !cut {
			time.AfterFunc(c.in.latency, func() { c.in.failWrite(syscall.EPIPE) })
		}
	})
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reading, t)
	c.out.setDeadline(&c.out.writing, t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reading, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writing, t)
	return nil
}

// never is the delay of a side that doesn't notice that its connection is gone.
const never = time.Duration(-1)

// cut says how a connection breaks. From then on nothing arrives in a direction that
// is cut, except a part of what was on its way.
type cut struct {
	up, down         bool          // which directions, seen from the client
	keepUp, keepDown float64       // the part of what is on its way that still arrives
	client, server   time.Duration // after which either side notices; never if it doesn't
	err              error         // what they notice: a reset or EOF
}

// apply cuts the connection whose client's end is c.
func (x cut) apply(c *conn) {
	up, down := c.out, c.in
	if x.up {
		up.lose(x.keepUp)
	}
	if x.down {
		down.lose(x.keepDown)
	}
	fail := func(after time.Duration, read, write *stream) {
		if after == never {
			return
		}
		time.AfterFunc(after, func() {
			read.failRead(x.err)
			write.failWrite(syscall.EPIPE)
		})
	}
	fail(x.client, down, up)
	fail(x.server, up, down)
}

// listener accepts connections in memory. It implements [net.Listener].
type listener struct {
	addr net.Addr

	mu     sync.Mutex
	filled sync.Cond
	queue  []*conn
	closed bool
}

func newListener(addr net.Addr) *listener {
	l := &listener{addr: addr}
	l.filled.L = &l.mu
	return l
}

// offer queues the server's end of a connection. It reports false if nobody listens.
func (l *listener) offer(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, c)
	l.filled.Signal()
	return true
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 {
		if l.closed {
			return nil, net.ErrClosed
		}
		l.filled.Wait()
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	return c, nil
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.queue {
		_ = c.Close()
	}
	l.queue = nil
	l.filled.Broadcast()
	return nil
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return l.addr }
