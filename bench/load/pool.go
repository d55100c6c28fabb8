package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ReadBuffer is the size of the one buffer for all connections, so that few calls read what the
	// server wrote.
	ReadBuffer = 256 << 10
	// MaxEvents is how many connections epoll returns at a time.
	MaxEvents = 512
	// stopCheck is how often the reader checks whether to stop.
	stopCheck = 200 * time.Millisecond
)

// Pool holds connected clients and reads from all of them on one goroutine, which leaves the
// processors to the server. It is safe for concurrent use.
type Pool struct {
	protocol Protocol
	receive  func(client int, packet []byte) (reply []byte) // nil to count deliveries
	epoll    int
	start    time.Time     // the time that stamps count from
	stopped  chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	closing bool
	conns   map[int]*poolConn // by file descriptor
	fds     map[int]int       // file descriptors by client
	counts  Counts
	latency *Histogram
	goal    uint64        // of deliveries; 0 for none
	reached chan struct{} // closed when the goal is reached
	failure error         // the first thing that no server should send
}

// poolConn is the connection of one client.
type poolConn struct {
	fd       int
	client   int    // its number
	received uint64 // deliveries
	last     uint64 // the number of the last one
	partial  []byte // the start of a frame whose rest has not come yet
}

// Counts are what happened since the last reset.
type Counts struct {
	// Deliveries are the payloads that clients received.
	Deliveries uint64
	// Disorder are deliveries that came twice, or after one with a larger number.
	Disorder uint64
	// Gone are connections that ended by themselves.
	Gone uint64
}

// NewPool returns an empty pool.
func NewPool(o Options) (*Pool, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	p := &Pool{
		protocol: o.Protocol,
		receive:  o.Receive,
		epoll:    epoll,
		start:    o.Start,
		stopped:  make(chan struct{}),
		conns:    make(map[int]*poolConn),
		fds:      make(map[int]int),
		latency:  new(Histogram),
	}
	go p.read()
	return p, nil
}

// Clock returns the time since the start, for stamps.
func (p *Pool) Clock() time.Duration { return time.Since(p.start) }

// Add takes over a connected client, whose connection must not be used any more.
func (p *Pool) Add(client int, conn *Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := unix.SetNonblock(conn.FD, true); err != nil {
		return err
	}
	c := &poolConn{fd: conn.FD, client: client}
	p.conns[c.fd], p.fds[client] = c, c.fd
	buffered, _ := conn.Reader.Peek(conn.Reader.Buffered())
	p.feed(c, buffered, p.Clock())
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(c.fd)})
}

// Reset begins a new measurement.
func (p *Pool) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = Counts{}
	*p.latency = Histogram{}
	for _, c := range p.conns {
		c.received = 0
	}
	p.goal = 0
}

// Await waits until there have been that many deliveries since the last reset. It returns nil as
// well if the timeout comes first; the counts show which.
func (p *Pool) Await(ctx context.Context, deliveries uint64, timeout time.Duration) error {
	reached := make(chan struct{})
	p.mu.Lock()
	if p.counts.Deliveries >= deliveries {
		p.mu.Unlock()
		return nil
	}
	p.goal, p.reached = deliveries, reached
	p.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-reached:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Counts returns the counts since the last reset. The error is the first thing that no server
// should send.
func (p *Pool) Counts() (Counts, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts, p.failure
}

// Latency returns a copy of the latencies since the last reset.
func (p *Pool) Latency() *Histogram {
	p.mu.Lock()
	defer p.mu.Unlock()
	latency := *p.latency
	return &latency
}

// Missing returns how many deliveries the connected clients lack; want returns how many a client
// should have.
func (p *Pool) Missing(want func(client int) uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing uint64
	for _, c := range p.conns {
		if w := want(c.client); c.received < w {
			missing += w - c.received
		}
	}
	return missing
}

// StopReading ends the reader and returns the file descriptors of the connections, which stay open.
func (p *Pool) StopReading() []int {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	<-p.stopped
	return slices.Collect(maps.Keys(p.conns))
}

// Close ends the reader and closes all connections.
func (p *Pool) Close() {
	for _, fd := range p.StopReading() {
		unix.Close(fd)
	}
	unix.Close(p.epoll)
}

// read is the reader.
func (p *Pool) read() {
	defer close(p.stopped)
	events := make([]unix.EpollEvent, MaxEvents)
	buf := make([]byte, ReadBuffer)
	for {
		n, err := unix.EpollWait(p.epoll, events, int(stopCheck.Milliseconds()))
		p.mu.Lock()
		if p.closing || err != nil && err != unix.EINTR {
			p.mu.Unlock()
			return
		}
		for _, event := range events[:max(n, 0)] {
			p.readOne(int(event.Fd), buf)
		}
		p.mu.Unlock()
	}
}

// readOne reads once from a readable connection; epoll returns it again if there is more. The
// caller holds mu.
func (p *Pool) readOne(fd int, buf []byte) {
	c := p.conns[fd]
	if c == nil {
		return
	}
	n, err := unix.Read(fd, buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil || n == 0:
		p.counts.Gone++
		delete(p.conns, fd)
		delete(p.fds, c.client)
		unix.Close(fd)
	default:
		p.feed(c, buf[:n], p.Clock())
	}
}

// feed handles what a connection received. The caller holds mu.
func (p *Pool) feed(c *poolConn, data []byte, now time.Duration) {
	if len(c.partial) > 0 {
		c.partial = append(c.partial, data...)
		data = c.partial
	}
	for {
		opcode, payload, size, err := NextFrame(data)
		if err != nil {
			p.fail(err)
			return
		}
		if size == 0 {
			break
		}
		p.handle(c, opcode, payload, now)
		data = data[size:]
	}
	if len(data) == 0 {
		c.partial = nil
		return
	}
	c.partial = append(c.partial[:0], data...)
}

// handle handles one frame. The caller holds mu.
func (p *Pool) handle(c *poolConn, opcode byte, payload []byte, now time.Duration) {
	switch opcode {
	case OpText:
		if reply := p.protocol.Reply(payload); reply != nil {
			p.answer(c, OpText, reply)
			return
		}
		if p.receive != nil {
			if reply := p.receive(c.client, payload); reply != nil {
				p.answer(c, OpText, reply)
			}
			return
		}
		for number, stamp, rest, ok := NextPayload(payload); ok; number, stamp, rest, ok = NextPayload(rest) {
			p.deliver(c, number, now-stamp)
		}
	case OpPing:
		p.answer(c, OpPong, payload)
	case OpClose: // the server closes the connection next
		p.answer(c, OpClose, payload)
	default:
		p.fail(fmt.Errorf("a frame with opcode %d", opcode))
	}
}

// deliver counts a delivery. One publisher sends all messages, in the order of their numbers. The
// caller holds mu.
func (p *Pool) deliver(c *poolConn, number uint64, latency time.Duration) {
	if number <= c.last {
		p.counts.Disorder++
	}
	c.last = max(c.last, number)
	c.received++
	p.latency.Record(latency)
	p.counts.Deliveries++
	if p.counts.Deliveries == p.goal {
		close(p.reached)
	}
}

// Send sends a message from a client.
func (p *Pool) Send(client int, message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fd, ok := p.fds[client]
	if !ok {
		return errors.New("the client that is to send has lost its connection")
	}
	if _, err := WriteFD(fd, AppendFrame(make([]byte, 0, len(message)+14), OpText, message)); err != nil {
		return fmt.Errorf("sending from a client: %w", err)
	}
	return nil
}

// answer sends a frame. A connection that cannot take these few bytes has ended. The caller holds
// mu.
func (p *Pool) answer(c *poolConn, opcode byte, payload []byte) {
	_, err := WriteFD(c.fd, AppendFrame(nil, opcode, payload))
	if ended := errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET); err != nil && !ended {
		p.fail(fmt.Errorf("answering: %w", err))
	}
}

func (p *Pool) fail(err error) {
	if p.failure == nil {
		p.failure = err
	}
}
