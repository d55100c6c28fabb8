package brokertest

import (
	"context"
	"net"
	"sync"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func newPipes() *pipes {
	return &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.dialed <- loopback{there}:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return loopbackAddr() }

// loopback is a connection that seems to come from this machine.
type loopback struct{ net.Conn }

// RemoteAddr implements [net.Conn].
func (loopback) RemoteAddr() net.Addr { return loopbackAddr() }

func loopbackAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
