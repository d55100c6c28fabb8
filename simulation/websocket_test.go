package simulation

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// The opcodes of WebSocket frames.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// frame is a WebSocket frame. The broker doesn't fragment messages.
type frame struct {
	opcode byte
	data   []byte
}

// appendFrame appends a client's frame. Its mask is zero, which masks nothing.
func appendFrame(dst []byte, f frame) []byte {
	const masked = 0x80
	dst = append(dst, 0x80|f.opcode)
	switch n := len(f.data); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = append(dst, masked|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, masked|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, f.data...)
}

// readFrame reads a frame of the server.
func readFrame(r *bufio.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	if head[0]&0xf0 != 0x80 {
		return frame{}, fmt.Errorf("a frame begins with %#x", head[0])
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return frame{}, err
		}
		n = uint64(binary.BigEndian.Uint16(size[:]))
	case 127:
		var size [8]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return frame{}, err
		}
		n = binary.BigEndian.Uint64(size[:])
	}
	if n > 16<<20 {
		return frame{}, fmt.Errorf("a frame has %d bytes", n)
	}
	f := frame{opcode: head[0] & 0x0f, data: make([]byte, n)}
	_, err := io.ReadFull(r, f.data)
	return f, err
}

// upgradeRequest is the request that opens a WebSocket.
func upgradeRequest(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: sala\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
}

// errRefused is the error of a WebSocket that the server hasn't accepted.
var errRefused = errors.New("the server refuses the WebSocket")

// readUpgrade reads the answer to upgradeRequest.
func readUpgrade(r *bufio.Reader) error {
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%w: %s %s", errRefused, response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// outbox writes to a connection on a goroutine of its own, as a browser does. Its
// queue is unbounded: the application never waits for the network.
type outbox struct {
	conn *conn

	mu      sync.Mutex
	changed sync.Cond
	queue   []byte
	closed  bool // the connection is closed once the queue has been written
}

func newOutbox(c *conn) *outbox {
	o := &outbox{conn: c}
	o.changed.L = &o.mu
	return o
}

func (o *outbox) send(frames ...frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	for _, f := range frames {
		o.queue = appendFrame(o.queue, f)
	}
	o.changed.Signal()
}

// close says goodbye and closes the connection once everything has been written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.queue = appendFrame(o.queue, frame{opClose, []byte{0x03, 0xe8}})
	o.closed = true
	o.changed.Signal()
}

// run writes until the outbox is closed or the connection fails. Either way the
// connection is closed then.
func (o *outbox) run() {
	defer func() { _ = o.conn.Close() }()
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.closed {
			o.changed.Wait()
		}
		p := o.queue
		o.queue = nil
		o.mu.Unlock()
		if len(p) == 0 {
			return
		}
		if _, err := o.conn.Write(p); err != nil {
			o.mu.Lock()
			o.closed = true
			o.mu.Unlock()
			return
		}
	}
}
