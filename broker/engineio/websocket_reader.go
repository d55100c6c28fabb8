package engineio

import (
	"errors"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	// maxIdleFrames is how many frames without a message a client may send within idleFrameTime:
	// pings, pongs, empty fragments. Each costs as much as a message, and no other limit counts
	// it.
	maxIdleFrames = 1000
	idleFrameTime = 10 * time.Second
)

// reader reads the WebSocket messages of one link. One goroutine uses it. While it waits for the
// next message on a plain socket, or parked, it holds no buffer. A connection that is parked between
// two messages has none: see blank.
type reader struct {
	link    *link
	intake  *intake
	limit   int64 // bytes that a message may have; set before it begins
	keep    int64 // bytes of it that are kept; the rest is read and dropped
	buffers *buffers

	buf        *[readBufferSize]byte // nil while it is empty
	start, end int                   // what is read and not yet used

	attempt func(fd uintptr) bool // r.tryOnce, bound once
	err     error                 // of the last attempt

	parks    bool // the connection may be parked
	atHeader bool // nothing of the next frame has been read
	drained  bool // the last read took all there was

	opcode  byte          // of the message whose fragments are arriving; 0 if there is none
	message []byte        // the part of it that is kept
	arrived int64         // bytes of it
	wait    time.Duration // before the next read

	idleFrames int       // since idleSince
	idleSince  time.Time // at most idleFrameTime ago
}

func newReader(l *link, in *intake, limit int64, pool *buffers) *reader {
	r := &reader{link: l, intake: in, limit: limit, keep: limit, buffers: pool}
	r.attempt = r.tryOnce
	return r
}

// give gives the reader what has been read already. It has nothing else.
func (r *reader) give(early []byte) {
	if len(early) > 0 {
		r.countRead(len(early))
		r.buf = r.buffers.get()
		r.end = copy(r.buf[:], early)
	}
}

// blank reports whether the reader is like a new one, so that a parked connection needn't keep it.
// Nothing has been read of the next frame.
func (r *reader) blank() bool {
	return r.buf == nil && r.opcode == 0 && r.message == nil && r.wait == 0 &&
		(r.idleFrames == 0 || time.Since(r.idleSince) >= idleFrameTime)
}

// blankReaders is a pool of readers without a connection.
type blankReaders struct{ pool sync.Pool }

// put adds a reader that is blank.
func (b *blankReaders) put(r *reader) {
	in := r.intake
	*in = intake{maxRead: in.maxRead}
	*r = reader{intake: in, buffers: r.buffers, attempt: r.attempt}
	b.pool.Put(r)
}

// resumeReader returns a reader for a connection that was parked without one.
func (c *Conn) resumeReader() *reader {
	c.mu.Lock()
	l := c.ws
	c.mu.Unlock()
	r := c.reader(l)
	r.parks = true
	return r
}

// reader returns a reader of a link.
func (c *Conn) reader(l *link) *reader {
	r, ok := c.server.blankReaders.pool.Get().(*reader)
	if !ok {
		return newReader(l, c.newIntake(), maxProbe, &c.server.buffers)
	}
	r.link, r.intake.conn = l, c
	r.limit, r.keep = maxProbe, maxProbe
	return r
}

// next returns the next message or control frame with its opcode. The payload is valid until the
// next call. A *protocolError is the client's fault. errIdle means that nothing has arrived, and
// that next is to be called again when something has. Any other error is the socket's.
func (r *reader) next() (opcode byte, payload []byte, err error) {
	if r.opcode == 0 {
		r.forget()
	}
	for {
		h, err := r.header()
		if err != nil {
			return 0, nil, err
		}
		if h.control() || !h.fin && h.length == 0 {
			if err := r.countIdle(); err != nil {
				return 0, nil, err
			}
		}
		if h.control() {
			payload, err = r.control(h)
			return h.opcode, payload, err
		}
		if err := r.check(h); err != nil {
			return 0, nil, err
		}
		if whole := r.opcode == 0 && h.fin; whole && h.length <= int64(r.end-r.start) {
			payload = r.take(h)
			return h.opcode, payload, validate(h.opcode, payload)
		}
		if r.opcode == 0 {
			r.opcode = h.opcode
		}
		if err := r.collect(h); err != nil {
			return 0, nil, err
		}
		if h.fin {
			opcode, r.opcode = r.opcode, 0
			r.intake.complete()
			payload, err = r.whole(opcode)
			return opcode, payload, err
		}
	}
}

// whole returns a message that has arrived, or the part of it that is kept.
func (r *reader) whole(opcode byte) ([]byte, error) {
	message := r.message
	if r.arrived > int64(len(message)) {
		if opcode == opBinary {
			return nil, errTooLarge
		}
		message = trimRune(message) // which may have been cut in two
	}
	return message, validate(opcode, message)
}

// forget drops what has arrived of a message.
func (r *reader) forget() {
	if r.message != nil {
		r.message, r.arrived = nil, 0
		r.intake.release()
	}
}

// countIdle counts a frame without a message.
func (r *reader) countIdle() error {
	if now := time.Now(); now.Sub(r.idleSince) >= idleFrameTime {
		r.idleFrames, r.idleSince = 0, now
	}
	if r.idleFrames++; r.idleFrames > maxIdleFrames {
		return violation("too many frames without a message")
	}
	return nil
}

// check refuses a data frame that can't follow what came before, and one that makes the message
// too long.
func (r *reader) check(h header) error {
	if continues := h.opcode == opContinuation; continues != (r.opcode != 0) {
		return violation("fragments out of order")
	}
	if h.length > r.limit-r.arrived {
		return errTooLarge
	}
	return nil
}

var errTooLarge = &protocolError{ReasonMessageTooLarge, "message too large"}

func validate(opcode byte, payload []byte) error {
	if opcode == opText && !utf8.Valid(payload) {
		return &protocolError{ReasonParseError, "text message is not valid UTF-8"}
	}
	return nil
}

// header reads a frame header.
func (r *reader) header() (header, error) {
	for {
		if r.buf != nil {
			h, size, err := parseHeader(r.buf[r.start:r.end])
			if err != nil || size > 0 {
				r.start += size
				return h, err
			}
		}
		r.atHeader = true
		err := r.fill()
		r.atHeader = false
		if err != nil {
			return header{}, err
		}
	}
}

// control reads the payload of a control frame, which always fits into the buffer.
func (r *reader) control(h header) ([]byte, error) {
	for h.length > int64(r.end-r.start) {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	return r.take(h), nil
}

// take returns a payload that is in the buffer as a whole.
func (r *reader) take(h header) []byte {
	end := r.start + int(h.length)
	payload := r.buf[r.start:end:end]
	r.start = end
	ws.Cipher(payload, h.mask, 0)
	return payload
}

// collect appends the payload of a frame to the message, up to what is kept.
func (r *reader) collect(h header) error {
	begin := len(r.message)
	for left := h.length; left > 0; {
		have := int64(r.end - r.start)
		keep := min(left, r.keep-int64(len(r.message)))
		var err error
		var n int64
		switch {
		case have > 0:
			n = min(have, left)
			err = r.append(r.buf[r.start:][:min(n, keep)])
			r.start += int(n)
		case keep > 0:
			r.release()
			n, err = r.readMessage(keep)
		default:
			err = r.fill()
		}
		if err != nil {
			return err
		}
		left -= n
		r.arrived += n
	}
	ws.Cipher(r.message[begin:], h.mask, 0)
	return nil
}

// append appends a part of the message from the buffer.
func (r *reader) append(p []byte) error {
	for len(p) > 0 {
		if err := r.grow(int64(len(p))); err != nil {
			return err
		}
		n := copy(r.message[len(r.message):cap(r.message)], p)
		r.message = r.message[:len(r.message)+n]
		p = p[n:]
	}
	return nil
}

// grow makes room for some of the next bytes of the message, of which at least left are to come.
func (r *reader) grow(left int64) error {
	have := int64(len(r.message))
	if have < int64(cap(r.message)) {
		return nil
	}
	more := min(max(have, minGrowth), max(left, minGrowth), r.keep-have)
	if err := r.intake.holdMessage(more); err != nil {
		return err
	}
	r.message = enlarge(r.message, more)
	return nil
}

// readMessage reads up to left bytes right after what has arrived of the message.
func (r *reader) readMessage(left int64) (int64, error) {
	if err := r.grow(left); err != nil {
		return 0, err
	}
	have := len(r.message)
	room := r.message[have:cap(r.message)]
	if err := r.pause(); err != nil {
		return 0, err
	}
	n, err := r.link.nc.Read(room[:min(int64(len(room)), left, r.intake.maxRead)])
	r.countRead(n)
	r.message = r.message[:have+n]
	if n > 0 {
		return int64(n), nil // an error comes again with the next read
	}
	return 0, noProgress(err)
}

// countRead counts bytes that were read.
func (r *reader) countRead(n int) { r.wait = r.intake.countRead(n) }

// pause waits until more may be read.
func (r *reader) pause() error {
	if r.wait == 0 {
		return nil
	}
	wait := r.wait
	r.wait = 0
	return r.intake.pause(wait)
}

// fill waits for more bytes in the buffer.
func (r *reader) fill() error {
	if r.start == r.end {
		r.release()
	} else if r.start > 0 {
		r.end = copy(r.buf[:], r.buf[r.start:r.end])
		r.start = 0
	}
	if r.link.raw == nil {
		return r.fillStream()
	}
	if r.drained && r.mayPark() {
		r.drained = false // next is called again when something has arrived
		return errIdle
	}
	if err := r.pause(); err != nil {
		return err
	}
	r.err = nil
	if err := r.link.raw.Read(r.attempt); err != nil {
		return err
	}
	return r.err
}

// tryOnce reads into the buffer if there is something to read. If not, it asks to be called again
// when there is, and gives back an empty buffer meanwhile.
func (r *reader) tryOnce(fd uintptr) bool {
	if r.buf == nil {
		r.buf = r.buffers.get()
	}
	n, blocked, err := tryRead(fd, r.buf[r.end:])
	r.end += n
	r.countRead(n)
	r.drained = !blocked && r.end < len(r.buf)
	r.err = err
	if blocked && r.end == 0 {
		r.release()
		if r.mayPark() {
			r.err = errIdle
			return true
		}
	}
	return !blocked
}

// fillStream is fill for a connection that isn't a plain socket.
func (r *reader) fillStream() error {
	if err := r.pause(); err != nil {
		return err
	}
	if r.buf == nil {
		r.buf = r.buffers.get()
	}
	var n int
	var err error
	if r.mayPark() {
		n, err = r.link.readNow(r.buf[r.end:])
	} else {
		n, err = r.link.nc.Read(r.buf[r.end:])
	}
	r.end += n
	r.countRead(n)
	if n > 0 {
		return nil // an error comes again with the next read
	}
	if errors.Is(err, errIdle) {
		r.release()
	}
	return noProgress(err)
}

// mayPark reports whether errIdle may be returned: nothing of the next message has been read.
func (r *reader) mayPark() bool { return r.parks && r.atHeader && r.start == r.end }

func noProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// discard reads until the peer or this side closes the link.
func (r *reader) discard() {
	for {
		r.start, r.end = 0, 0
		if r.fill() != nil {
			return
		}
	}
}

// close gives back all that the reader holds.
func (r *reader) close() {
	r.release()
	r.forget()
}

// release gives back the buffer. What it held is lost.
func (r *reader) release() {
	if r.buf != nil {
		r.buffers.put(r.buf)
	}
	r.buf, r.start, r.end = nil, 0, 0
}
