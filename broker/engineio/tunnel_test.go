package engineio

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// tunnelEnds are a client, the server that has its session, and the tunnel between them.
type tunnelEnds struct {
	tunnels        *Tunnels
	client, server *net.TCPConn
	closed         chan struct{}
}

// openTunnel opens a tunnel over real sockets. wrap may put something around the ones that it holds.
func openTunnel(t *testing.T, timeout time.Duration, wrap func(net.Conn) net.Conn) *tunnelEnds {
	t.Helper()
	e := &tunnelEnds{tunnels: NewTunnels(timeout), closed: make(chan struct{})}
	var held [2]net.Conn
	for i, end := range []**net.TCPConn{&e.client, &e.server} {
		*end, held[i] = socketPair(t)
	}
	e.tunnels.Open(wrap(held[0]), wrap(held[1]), func() { close(e.closed) })
	t.Cleanup(func() {
		e.tunnels.Shutdown()
		e.tunnels.Wait()
	})
	return e
}

// socketPair returns the two ends of a TCP connection.
func socketPair(t *testing.T) (*net.TCPConn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	_ = a.SetDeadline(time.Now().Add(patience))
	return a.(*net.TCPConn), b
}

// opaque is a connection whose socket can't be seen, as behind TLS.
type opaque struct{ net.Conn }

// wraps are the kinds of connections that a tunnel may hold.
func wraps() map[string]func(net.Conn) net.Conn {
	return map[string]func(net.Conn) net.Conn{
		"plain":  func(nc net.Conn) net.Conn { return nc },
		"opaque": func(nc net.Conn) net.Conn { return opaque{nc} },
	}
}

func (e *tunnelEnds) wantEnd(t *testing.T) {
	t.Helper()
	select {
	case <-e.closed:
	case <-time.After(patience):
		t.Fatal("the tunnel doesn't end")
	}
}

// TestTunnel sends much in both directions at once, and then ends it gracefully from either side.
func TestTunnel(t *testing.T) {
	for name, wrap := range wraps() {
		for _, first := range []string{"client", "server"} {
			t.Run(name+", the "+first+" first", func(t *testing.T) {
				e := openTunnel(t, patience, wrap)
				data := make([]byte, 3<<20)
				_, _ = rand.Read(data)
				failed := make(chan error, 4)
				for _, ends := range [][2]*net.TCPConn{{e.client, e.server}, {e.server, e.client}} {
					go func() { _, err := ends[0].Write(data); failed <- err }()
					go func() {
						got := make([]byte, len(data))
						_, err := io.ReadFull(ends[1], got)
						if err == nil && !bytes.Equal(got, data) {
							err = errors.New("the data has changed")
						}
						failed <- err
					}()
				}
				for range 4 {
					if err := <-failed; err != nil {
						t.Fatal(err)
					}
				}
				a, b := e.client, e.server
				if first == "server" {
					a, b = b, a
				}
				_ = a.CloseWrite()
				if name == "plain" { // an opaque connection can't be closed by half
					if _, err := b.Read(data); err != io.EOF {
						t.Errorf("the other end gets %v", err)
					}
					if _, err := b.Write([]byte("last words")); err != nil {
						t.Error(err)
					}
					if got, err := readSome(a, 10); err != nil || got != "last words" {
						t.Errorf("back comes %q, %v", got, err)
					}
				}
				_ = b.CloseWrite()
				e.wantEnd(t)
			})
		}
	}
}

func readSome(nc net.Conn, n int) (string, error) {
	got := make([]byte, n)
	_, err := io.ReadFull(nc, got)
	return string(got), err
}

// TestTunnelReset resets one end. The other is reset, too.
func TestTunnelReset(t *testing.T) {
	for name, wrap := range wraps() {
		t.Run(name, func(t *testing.T) {
			e := openTunnel(t, patience, wrap)
			_ = e.client.SetLinger(0)
			_ = e.client.Close()
			e.wantEnd(t)
			if _, err := e.server.Read(make([]byte, 1)); err == nil || name == "plain" && err == io.EOF {
				t.Errorf("the other end gets %v", err)
			}
		})
	}
}

// TestTunnelOutlivesNoEnd has one end close its half, and the other ignore that.
func TestTunnelOutlivesNoEnd(t *testing.T) {
	e := openTunnel(t, patience, wraps()["plain"])
	_ = e.server.CloseWrite()
	e.wantEnd(t)
}

// TestTunnelSlowReader has an end that reads nothing. The other can't send any number of bytes, and
// the tunnel is cut.
func TestTunnelSlowReader(t *testing.T) {
	for name, wrap := range wraps() {
		t.Run(name, func(t *testing.T) {
			e := openTunnel(t, 100*time.Millisecond, wrap)
			sent := 0
			for chunk := make([]byte, 64<<10); ; {
				n, err := e.server.Write(chunk)
				sent += n
				if err != nil {
					break
				}
			}
			if sent > 32<<20 {
				t.Errorf("%d bytes were taken for a client that reads nothing", sent)
			}
			e.wantEnd(t)
		})
	}
}

// TestTunnelsShutdown cuts tunnels in which nothing moves. None opens after that.
func TestTunnelsShutdown(t *testing.T) {
	e := openTunnel(t, patience, wraps()["plain"])
	e.tunnels.Shutdown()
	e.wantEnd(t)
	e.tunnels.Wait()
	client, held := socketPair(t)
	_, other := socketPair(t)
	closed := make(chan struct{})
	e.tunnels.Open(held, other, func() { close(closed) })
	<-closed
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("a tunnel was opened after the end")
	}
}
