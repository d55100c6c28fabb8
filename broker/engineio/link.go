package engineio

import (
	"net"
	"syscall"
	"time"
)

// link is the socket of one WebSocket connection.
type link struct {
	nc net.Conn
	// raw gives non-blocking access to a plain socket. It is nil for anything else (TLS, a wrapped connection), which
	// is read and written in the ordinary, blocking way.
	raw syscall.RawConn
}

// Wrapped is a connection of the caller's own that reads and writes as the socket in it does, and only ends in a way of
// its own: the engine then uses the socket itself, which costs less. It is asked for no more than that and Close.
type Wrapped interface {
	net.Conn
	// Plain returns the socket.
	Plain() net.Conn
}

// plain returns the socket within nc, if nc says that it does no more than that.
func plain(nc net.Conn) net.Conn {
	if w, ok := nc.(Wrapped); ok {
		return w.Plain()
	}
	return nc
}

func newLink(nc net.Conn) *link {
	l := &link{nc: nc, raw: rawConn(plain(nc))}
	if l.raw != nil {
		_ = l.raw.Control(func(fd uintptr) { limitUnsent(fd, maxUnsent) }) // or else the kernel's own limit holds
	}
	return l
}

// maxUnsent is how much the kernel takes of what it can't send yet. Its own buffer grows to megabytes: a client that has
// stopped reading would hold as much beside its queue, and be noticed only when that is full.
const maxUnsent = 128 << 10

// write writes p within timeout, for the few packets of a handshake that are not queued.
func (l *link) write(p []byte, timeout time.Duration) error {
	if err := l.nc.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := l.nc.Write(p); err != nil {
		return err
	}
	return l.nc.SetWriteDeadline(time.Time{})
}

// writeSome writes some of p to a plain socket: what it takes at once, or, if it takes nothing and wait is set, what
// it takes then, within the write deadline.
func (l *link) writeSome(p []byte, wait bool) (n int, err error) {
	failed := l.raw.Write(func(fd uintptr) bool {
		var blocked bool
		n, blocked, err = tryWrite(fd, p)
		return !blocked || !wait
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}

// closeWrite tells the peer that nothing more will come, so that it closes the connection too. Only a plain socket
// can do so without waiting.
func (l *link) closeWrite() {
	if tcp, ok := plain(l.nc).(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // if it fails, the connection is gone, which its reader will notice
	}
}

// close closes the socket; whoever reads or writes it gets an error. Abruptly means that the kernel forgets what the
// peer hasn't taken: a peer that has stopped reading would have it kept for minutes.
func (l *link) close(abruptly bool) {
	nc := l.nc
	if wrapped, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = wrapped.NetConn() // closing TLS in order would write, and may wait for that
	}
	if tcp, ok := plain(nc).(*net.TCPConn); ok && abruptly {
		_ = tcp.SetLinger(0) // best effort: the close below is what matters
	}
	_ = nc.Close() // nobody can be told, and there is nothing else to do with it
}
