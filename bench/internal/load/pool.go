package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readBuffer is one for all connections: the server's writes are read in few calls.
	readBuffer = 256 << 10
	// maxEvents is how many connections are looked at in one go.
	maxEvents = 512
	// stopCheck is how often the reader looks whether it is to stop.
	stopCheck = 200 * time.Millisecond
)

// pool holds the connected clients and reads from all of them, on one goroutine: the generator must leave the
// processors to the server. It may be used concurrently.
type pool struct {
	protocol protocol
	epoll    int
	start    time.Time     // what the stamps are counted from
	stopped  chan struct{} // closed when the reader has ended
	// hear gets each packet that a client receives, with mu held, and then nothing else looks at them; nil if
	// deliveries are to be counted.
	hear func(client int, packet []byte)

	mu      sync.Mutex
	closing bool
	conns   map[int]*conn // by file descriptor
	counts  counts
	latency *histogram
	goal    uint64        // of deliveries; 0 for none
	reached chan struct{} // closed when the goal is reached
	failure error         // the first thing that no server should send
}

// conn is one client.
type conn struct {
	fd       int
	client   int    // its number
	received uint64 // deliveries
	last     uint64 // the sequence number of the last one
	partial  []byte // the beginning of a frame whose rest hasn't come yet
}

// counts are what happened since the last reset.
type counts struct {
	deliveries uint64
	disorder   uint64
	gone       uint64
}

func newPool(p protocol) (*pool, error) { return newPoolSince(p, time.Now()) }

// newPoolSince returns a pool whose clock began at start, as that of others.
func newPoolSince(p protocol, start time.Time) (*pool, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	pl := &pool{
		protocol: p,
		epoll:    epoll,
		start:    start,
		stopped:  make(chan struct{}),
		conns:    make(map[int]*conn),
		latency:  new(histogram),
	}
	go pl.read()
	return pl, nil
}

// clock returns the time since the start, on the monotonic clock.
func (p *pool) clock() time.Duration { return time.Since(p.start) }

// add takes over a connected client. The stream must not be used any more.
func (p *pool) add(client int, s *stream) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := unix.SetNonblock(s.fd, true); err != nil {
		return err
	}
	c := &conn{fd: s.fd, client: client}
	p.conns[c.fd] = c
	p.feed(c, s.buffered(), p.clock())
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(c.fd)})
}

// reset begins a new measurement.
func (p *pool) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = counts{}
	*p.latency = histogram{}
	for _, c := range p.conns {
		c.received = 0
	}
	p.goal = 0
}

// await waits until there have been so many deliveries since the last reset, or until patience is at an end, which is
// no error.
func (p *pool) await(ctx context.Context, deliveries uint64, patience time.Duration) error {
	reached := make(chan struct{})
	p.mu.Lock()
	if p.counts.deliveries >= deliveries {
		p.mu.Unlock()
		return nil
	}
	p.goal, p.reached = deliveries, reached
	p.mu.Unlock()
	timer := time.NewTimer(patience)
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

// snapshot returns the counts, a copy of the latencies, and the error that the reader has met.
func (p *pool) snapshot() (counts, *histogram, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	latency := *p.latency
	return p.counts, &latency, p.failure
}

// missing returns how many deliveries clients lack; want is what each should have, by its number.
func (p *pool) missing(want func(client int) uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lacking uint64
	for _, c := range p.conns {
		if w := want(c.client); c.received < w {
			lacking += w - c.received
		}
	}
	return lacking
}

// halt ends the reader; the connections stay open, and nobody reads from them any more.
func (p *pool) halt() {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	<-p.stopped
}

// close closes all connections and ends the reader.
func (p *pool) close() {
	p.halt()
	for fd := range p.conns { // nobody else is there any more
		unix.Close(fd)
	}
	unix.Close(p.epoll)
}

// read is the reader.
func (p *pool) read() {
	defer close(p.stopped)
	events := make([]unix.EpollEvent, maxEvents)
	buf := make([]byte, readBuffer)
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

// readOne reads once from a connection that is readable; if there is more, epoll says so again. The caller holds mu.
func (p *pool) readOne(fd int, buf []byte) {
	c := p.conns[fd]
	if c == nil {
		return
	}
	n, err := unix.Read(fd, buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil || n == 0:
		p.counts.gone++
		delete(p.conns, fd)
		unix.Close(fd)
	default:
		p.feed(c, buf[:n], p.clock())
	}
}

// feed handles what a connection has received. The caller holds mu.
func (p *pool) feed(c *conn, data []byte, now time.Duration) {
	if len(c.partial) > 0 {
		c.partial = append(c.partial, data...)
		data = c.partial
	}
	for {
		opcode, payload, size, err := nextFrame(data)
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
func (p *pool) handle(c *conn, opcode byte, payload []byte, now time.Duration) {
	switch opcode {
	case opText:
		if answer := p.protocol.answer(payload); answer != nil {
			p.send(c, opText, answer)
			return
		}
		if p.hear != nil {
			p.hear(c.client, payload)
			return
		}
		for sequence, stamp, rest, ok := nextDelivery(payload); ok; sequence, stamp, rest, ok = nextDelivery(rest) {
			p.deliver(c, sequence, now-stamp)
		}
	case opPing:
		p.send(c, opPong, payload)
	case opClose: // the connection ends next
		p.send(c, opClose, payload)
	default:
		p.fail(fmt.Errorf("a frame with opcode %d", opcode))
	}
}

// deliver counts a delivery. All messages come from one publisher in the order of their numbers. The caller holds mu.
func (p *pool) deliver(c *conn, sequence uint64, latency time.Duration) {
	if sequence <= c.last {
		p.counts.disorder++
	}
	c.last = max(c.last, sequence)
	c.received++
	p.latency.record(latency)
	p.counts.deliveries++
	if p.counts.deliveries == p.goal {
		close(p.reached)
	}
}

// tell sends a message from a client, by its file descriptor.
func (p *pool) tell(fd int, message []byte) error {
	frame := appendMasked(make([]byte, 0, len(message)+14), opText, message)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[fd] == nil {
		return errors.New("a client that is to send has lost its connection")
	}
	if _, err := writeFD(fd, frame); err != nil {
		return fmt.Errorf("sending from a client: %w", err)
	}
	return nil
}

// send answers; a socket that can't take these few bytes has gone. The caller holds mu.
func (p *pool) send(c *conn, opcode byte, payload []byte) {
	_, err := writeFD(c.fd, appendMasked(nil, opcode, payload))
	if gone := errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET); err != nil && !gone {
		p.fail(fmt.Errorf("answering: %w", err))
	}
}

func (p *pool) fail(err error) {
	if p.failure == nil {
		p.failure = err
	}
}
