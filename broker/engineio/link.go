package engineio

import (
	"net"
	"syscall"
	"time"
)

// link is the socket of one WebSocket connection.
type link struct {
	nc net.Conn
	// raw gives non-blocking access to a plain socket. It is nil for anything else (TLS, a
	// wrapped connection), which only takes blocking writes.
	raw syscall.RawConn
	// below is the socket below TLS, if it can be read without waiting. It is nil otherwise.
	below *tlsSocket
	// number is that of raw's descriptor, for Conn.setLink; 0 if there is none.
	number int32
}

// Wrapped is a connection of the caller's own that reads and writes exactly as the socket within
// it does, and only closes in its own way. The server then reads and writes the socket itself,
// which costs less. It calls no other methods than Plain and Close. Nobody but the server may close
// the connection or the socket once net/http has handed the connection over: the server writes to the
// number of the socket, which a file that is opened later could have.
type Wrapped interface {
	net.Conn
	// Plain returns the socket.
	Plain() net.Conn
}

// plain returns the socket within nc if nc is [Wrapped], or else nc.
func plain(nc net.Conn) net.Conn {
	if w, ok := nc.(Wrapped); ok {
		return w.Plain()
	}
	return nc
}

func newLink(nc net.Conn) *link {
	l := &link{nc: nc, raw: rawConn(plain(nc))}
	if l.raw == nil {
		l.below = socketBelow(nc)
	}
	if l.raw != nil {
		// If this fails, the kernel's own limit holds.
		_ = l.raw.Control(func(fd uintptr) {
			limitUnsent(fd, maxUnsent)
			l.number = int32(fd) //nolint:gosec // the system numbers files from 0
		})
	}
	return l
}

// socket returns the socket that the poller can watch while the connection waits; nil if there is
// none.
func (l *link) socket() syscall.RawConn {
	if l.below != nil {
		return l.below.raw
	}
	return l.raw
}

// canPark says whether the connection can wait without a goroutine.
func (l *link) canPark() bool { return canPark && l.socket() != nil }

// readNow reads from a connection over TLS. If nothing has arrived, it doesn't wait: the error is
// errIdle.
func (l *link) readNow(p []byte) (int, error) {
	l.below.now = true
	n, err := l.nc.Read(p)
	l.below.now = false
	return n, err
}

// maxUnsent is how many unsent bytes the kernel takes. Its own buffer grows to megabytes. A
// client that stopped reading would hold that much besides its queue, and would be noticed only
// once it is full.
const maxUnsent = 128 << 10

// write writes p within timeout, for the few packets that aren't queued: those of a handshake or
// an upgrade.
func (l *link) write(p []byte, timeout time.Duration) error {
	if err := l.nc.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := l.nc.Write(p)
	l.clearWriteDeadline()
	return err
}

// clearWriteDeadline fails only if the connection is closed. That is no failure of the write before,
// after which the peer may have closed it. Its reader still gets what the peer has sent until then.
func (l *link) clearWriteDeadline() { _ = l.nc.SetWriteDeadline(time.Time{}) }

// writeSome writes some of p to a plain socket: what it takes at once. If it takes nothing and
// wait is set, writeSome waits for it, within the write deadline.
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

// closeWrite tells the peer that nothing more comes, so that it closes the connection too. Only a
// plain socket can do so without waiting.
func (l *link) closeWrite() {
	if tcp, ok := plain(l.nc).(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // if it fails, the connection is gone, and its reader notices
	}
}

// close closes the socket, which fails all its reads and writes. abruptly has the kernel drop
// what the peer hasn't taken. For a peer that has stopped reading, it would keep that for
// minutes.
func (l *link) close(abruptly bool) {
	nc := l.nc
	if wrapped, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = wrapped.NetConn() // closing TLS gracefully would write, and might wait
	}
	if tcp, ok := plain(nc).(*net.TCPConn); ok && abruptly {
		_ = tcp.SetLinger(0) // best effort: the close below is what matters
	}
	_ = nc.Close() // there is nothing to do about an error
}
