package engineio

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Tunnels carry the WebSockets of clients whose sessions another server has. They pass bytes on as
// they are. While nothing moves, a tunnel over plain sockets holds two goroutines and no buffer. The
// methods may be called concurrently.
type Tunnels struct {
	// Static.
	timeout time.Duration

	buffers buffers
	running sync.WaitGroup

	mu   sync.Mutex
	open map[*tunnel]struct{}
	shut bool // no more may open
}

// NewTunnels returns Tunnels. A tunnel is cut if an end takes nothing for the time timeout.
func NewTunnels(timeout time.Duration) *Tunnels {
	return &Tunnels{timeout: timeout, open: make(map[*tunnel]struct{})}
}

// Open passes bytes on between a client and the server that has its session, until both have ended.
// It takes over both connections and calls closed at the end. After [Tunnels.Shutdown] it closes
// them at once.
func (t *Tunnels) Open(client, server net.Conn, closed func()) {
	n := &tunnel{tunnels: t, client: newLink(client), server: newLink(server), closed: closed}
	started := t.start(n)
	if !started {
		n.cut()
		closed()
	}
}

// start runs a tunnel, and reports whether one may still be opened.
func (t *Tunnels) start(n *tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return false
	}
	t.open[n] = struct{}{}
	t.running.Go(n.run)
	return true
}

// Wait returns when all tunnels have ended.
func (t *Tunnels) Wait() { t.running.Wait() }

// Shutdown cuts all tunnels. They end soon.
func (t *Tunnels) Shutdown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut = true
	for n := range t.open {
		n.cut()
	}
}

// tunnel carries the WebSocket of one client.
type tunnel struct {
	tunnels        *Tunnels
	client, server *link
	closed         func()
}

func (n *tunnel) run() {
	var up sync.WaitGroup
	up.Go(func() { n.carry(n.client, n.server) })
	n.carry(n.server, n.client)
	up.Wait()
	n.client.close(false)
	n.server.close(false)
	n.tunnels.mu.Lock()
	delete(n.tunnels.open, n)
	n.tunnels.mu.Unlock()
	n.closed()
}

// carry passes on what comes from one end, and then its end: a graceful one as such, after which the
// other end has closeGrace to follow.
func (n *tunnel) carry(from, to *link) {
	err := n.copy(from, to)
	if !errors.Is(err, io.EOF) {
		n.cut()
		return
	}
	to.closeWrite()
	_ = to.nc.SetReadDeadline(time.Now().Add(closeGrace)) // it fails only on a closed connection
}

// cut ends both directions at once.
func (n *tunnel) cut() {
	n.client.close(true)
	n.server.close(true)
}

// copy passes on what comes from one end until reading or writing fails.
func (n *tunnel) copy(from, to *link) error {
	s := source{link: from, buffers: &n.tunnels.buffers}
	s.attempt = s.tryOnce
	for {
		err := s.read()
		if s.n > 0 {
			if failed := n.write(to, s.buf[:s.n]); failed != nil {
				err = failed
			}
		}
		s.release()
		if err != nil {
			return err
		}
	}
}

// write writes p. A socket that has room takes it without a timer.
func (n *tunnel) write(to *link, p []byte) error {
	if to.raw != nil {
		written, err := to.writeSome(p, false)
		if err != nil || written == len(p) {
			return err
		}
		p = p[written:]
	}
	return to.write(p, n.tunnels.timeout)
}

// source reads one end of a tunnel. While it waits on a plain socket, it holds no buffer.
type source struct {
	link    *link
	buffers *buffers
	attempt func(fd uintptr) bool // s.tryOnce, bound once

	buf *[readBufferSize]byte // nil while there is nothing in it
	n   int                   // bytes of the last read
	err error                 // of the last attempt
}

// read waits for something and reads it into the buffer.
func (s *source) read() error {
	s.n, s.err = 0, nil
	if s.link.raw == nil {
		s.buf = s.buffers.get()
		s.n, s.err = s.link.nc.Read(s.buf[:])
		return s.err
	}
	if err := s.link.raw.Read(s.attempt); err != nil {
		return err
	}
	return s.err
}

// tryOnce reads if there is something to read. If not, it asks to be called again when there is.
func (s *source) tryOnce(fd uintptr) bool {
	if s.buf == nil {
		s.buf = s.buffers.get()
	}
	n, blocked, err := tryRead(fd, s.buf[:])
	s.n, s.err = n, err
	if blocked {
		s.release()
	}
	return !blocked
}

func (s *source) release() {
	if s.buf != nil {
		s.buffers.put(s.buf)
		s.buf = nil
	}
}
