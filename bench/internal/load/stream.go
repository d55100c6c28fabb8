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
	// handshakeTimeout is how long an answer may take, after which a connection is lost. A stock client waits longer;
	// none of the servers is that slow.
	handshakeTimeout = 5 * time.Second
	// sources is from how many loopback addresses clients come. One has only some 28,000 ports, and a closed
	// connection keeps its port for a minute.
	sources = 16
)

// dialer opens connections to one server. It may be used concurrently.
type dialer struct {
	address unix.SockaddrInet4
	host    string
	narrow  bool // whether connections take only a little at a time; see squeeze
	net     byte // the third number of the addresses that clients come from
	count   atomic.Uint32
}

func newDialer(address string) (*dialer, error) {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || !parsed.Addr().Is4() {
		return nil, fmt.Errorf("%q is no IPv4 address with a port", address)
	}
	return &dialer{
		address: unix.SockaddrInet4{Addr: parsed.Addr().As4(), Port: int(parsed.Port())},
		host:    address,
	}, nil
}

func (d *dialer) dial() (*stream, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := d.connect(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s := &stream{fd: fd}
	s.r = bufio.NewReaderSize(readFD(fd), 4<<10)
	return s, nil
}

// connect binds the socket to one of the sources, without a port yet, so that the kernel can choose one that is free
// towards this server, and connects it.
func (d *dialer) connect(fd int) error {
	source := unix.SockaddrInet4{Addr: [4]byte{127, 0, d.net, byte(2 + d.count.Add(1)%sources)}}
	timeout := unix.NsecToTimeval(int64(handshakeTimeout))
	err := errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.Bind(fd, &source),
	)
	if d.narrow {
		err = errors.Join(err, squeeze(fd))
	}
	if err != nil {
		return err
	}
	server := d.address // a copy: Connect writes into it
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

// squeeze keeps the kernel from taking in for the client, or holding back for the server, more than a slow line would. On
// the loopback interface these buffers have megabytes otherwise.
func squeeze(fd int) error {
	const receiveBuffer, segment = 4 << 10, 536
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, segment),
	)
}

// stream is a connection in blocking mode, on a bare file descriptor: thousands of them must cost little.
type stream struct {
	fd   int
	r    *bufio.Reader
	last bool // the server takes no further HTTP request
}

// Write implements [io.Writer].
func (s *stream) Write(b []byte) (int, error) { return writeFD(s.fd, b) }

// message reads the next text message. It stays valid until the next one is read.
func (s *stream) message() ([]byte, error) {
	opcode, payload, err := s.frame()
	if err == nil && opcode != opText {
		err = fmt.Errorf("a frame with opcode %d", opcode)
	}
	return payload, err
}

// frame reads the next frame. The payload stays valid until the next one is read.
func (s *stream) frame() (opcode byte, payload []byte, err error) {
	for want := 2; ; want = s.r.Buffered() + 1 {
		if _, err := s.r.Peek(want); err != nil {
			return 0, nil, err
		}
		b, _ := s.r.Peek(s.r.Buffered())
		opcode, payload, size, err := nextFrame(b)
		if err != nil {
			return 0, nil, err
		}
		if size > 0 {
			_, _ = s.r.Discard(size) // it is buffered
			return opcode, payload, nil
		}
	}
}

// send writes a text message.
func (s *stream) send(message []byte) error {
	_, err := s.Write(appendMasked(make([]byte, 0, len(message)+14), opText, message))
	return err
}

// buffered returns what has been read ahead.
func (s *stream) buffered() []byte {
	b, _ := s.r.Peek(s.r.Buffered())
	return b
}

func (s *stream) close() { unix.Close(s.fd) }

// reset cuts the connection off without the end that TCP has for it.
func (s *stream) reset() {
	_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // then it ends in the ordinary way
	s.close()
}

// errQuiet is returned when there is nothing to read for some time.
var errQuiet = errors.New("no answer in time")

// readFD is an [io.Reader] on a file descriptor.
type readFD int

// Read implements [io.Reader].
func (fd readFD) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, errQuiet
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func writeFD(fd int, b []byte) (int, error) {
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
