package listen

import (
	"log/slog"
	"net"
	"sync"
	"testing"
)

// accepted returns a connection of a listener with these limits, and the client's end.
func accepted(t *testing.T, bounds limits) (c *countedConn, client net.Conn) {
	t.Helper()
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimitListener(bound, bounds, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = l.Close() })
	client = hold(t, l)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc.(*countedConn), client //nolint:forcetypeassert // it accepts nothing else
}

// isClosed reports whether the connection's socket is closed.
func (c *countedConn) isClosed(t *testing.T) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw.Control(func(uintptr) {}) != nil
}

// TestTakenOverConnectionsStay has connections send something just when those that are silent are
// closed. Once its request has been read, the listener closes a connection no longer: it may belong to
// the server of WebSockets.
func TestTakenOverConnectionsStay(t *testing.T) {
	for range 200 {
		c, client := accepted(t, limits{})
		var closing sync.WaitGroup
		closing.Go(c.listener.closeSilent)
		_, _ = client.Write([]byte("G")) // fails if it is closed already
		n, _ := c.Read(make([]byte, 1))
		if n == 0 {
			closing.Wait()
			continue
		}
		before := c.isClosed(t)
		closing.Wait()
		if after := c.isClosed(t); after != before {
			t.Fatal("the listener has closed a connection whose request has been read")
		}
	}
}

// TestPooledConnectionsAreNoPlainSockets has the pool close a connection at any time, so nobody may
// use the number of its socket.
func TestPooledConnectionsAreNoPlainSockets(t *testing.T) {
	c, _ := accepted(t, limits{keyless: newKeylessPool()})
	if got := c.Plain(); got != net.Conn(c) {
		t.Errorf("the plain connection is a %T", got)
	}
	c, _ = accepted(t, limits{})
	if got := c.Plain(); got != net.Conn(c.TCPConn) {
		t.Errorf("the plain connection is a %T", got)
	}
}
