package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// HandshakeTimeout is how long a client waits for an answer before it counts its connection as
	// lost. Stock clients wait longer, but no server under test is that slow.
	HandshakeTimeout = 5 * time.Second
	// sources is from how many loopback addresses clients connect. One address has only some 28,000
	// ports, and a closed connection keeps its port for a minute.
	sources = 16
)

// Dialer opens connections to one server. It is safe for concurrent use once its fields are set.
type Dialer struct {
	// Host is the server's address.
	Host string
	// Slow limits the kernel's buffers to what a slow line holds.
	Slow bool
	// Subnet is the third byte of the loopback addresses that clients connect from.
	Subnet byte

	address unix.SockaddrInet4
	dialled atomic.Uint32
}

// NewDialer returns a dialer for an IPv4 address with a port.
func NewDialer(address string) (*Dialer, error) {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || !parsed.Addr().Is4() {
		return nil, fmt.Errorf("%q is not an IPv4 address with a port", address)
	}
	return &Dialer{Host: address, address: unix.SockaddrInet4{Addr: parsed.Addr().As4(), Port: int(parsed.Port())}}, nil
}

// Dial opens a TCP connection.
func (d *Dialer) Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := d.Connect(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Conn{FD: fd, Reader: bufio.NewReaderSize(FDReader(fd), 4<<10)}, nil
}

// Connect connects a socket. It binds the socket to one of the source addresses without a port, so
// that the kernel chooses a port that is free towards this server. On a non-blocking socket it
// returns [unix.EINPROGRESS].
func (d *Dialer) Connect(fd int) error {
	source := unix.SockaddrInet4{Addr: [4]byte{127, 0, d.Subnet, byte(2 + d.dialled.Add(1)%sources)}}
	timeout := unix.NsecToTimeval(int64(HandshakeTimeout))
	err := errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.Bind(fd, &source),
	)
	if d.Slow {
		err = errors.Join(err, limitBuffers(fd))
	}
	if err != nil {
		return err
	}
	server := d.address // a copy, since Connect writes to it
	for {
		switch err := unix.Connect(fd, &server); err {
		case nil, unix.EISCONN:
			return nil
		case unix.EINTR, unix.EALREADY:
		default:
			return fmt.Errorf("connect: %w", err)
		}
	}
}

// limitBuffers keeps the kernel from buffering more than a slow line would. On the loopback
// interface these buffers hold megabytes otherwise.
func limitBuffers(fd int) error {
	const receiveBuffer, segment = 4 << 10, 536
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, segment),
	)
}

// Conn is a connection in blocking mode on a bare file descriptor: thousands of them must cost
// little. Its reads and writes fail after [HandshakeTimeout]. It belongs to one goroutine.
type Conn struct {
	FD     int
	Reader *bufio.Reader

	closing bool // the server accepts no further HTTP request over it
}

// Write implements [io.Writer].
func (c *Conn) Write(b []byte) (int, error) { return WriteFD(c.FD, b) }

// ReadMessage returns the next text message. It stays valid until the next read.
func (c *Conn) ReadMessage() ([]byte, error) {
	opcode, payload, err := c.ReadFrame()
	if err == nil && opcode != OpText {
		err = fmt.Errorf("a frame with opcode %d", opcode)
	}
	return payload, err
}

// ReadFrame returns the next frame. The payload stays valid until the next read.
func (c *Conn) ReadFrame() (opcode byte, payload []byte, err error) { return ReadFrame(c.Reader) }

// WriteMessage writes a text message.
func (c *Conn) WriteMessage(message []byte) error {
	_, err := c.Write(AppendFrame(make([]byte, 0, len(message)+14), OpText, message))
	return err
}

// Close closes the connection.
func (c *Conn) Close() { unix.Close(c.FD) }

// Reset closes the connection with a TCP reset.
func (c *Conn) Reset() {
	_ = unix.SetsockoptLinger(c.FD, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // without it TCP ends as usual
	c.Close()
}

// ErrTimeout is returned when there was nothing to read for [HandshakeTimeout].
var ErrTimeout = errors.New("no answer in time")

// FDReader is an [io.Reader] on a file descriptor.
type FDReader int

// Read implements [io.Reader].
func (fd FDReader) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, ErrTimeout
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// WriteFD writes all of b to a file descriptor.
func WriteFD(fd int, b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Write(fd, b[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}
