package nodeproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxSmall is how large the body of a POST may be that is read before it is passed on. Most are
	// much smaller.
	maxSmall = 4 << 10
	// stallTimeout is how long a client may send nothing of a body, and bodyTimeout how long a body
	// may take in all. The node that has the session allows less, but waits while the client may send
	// no more: see the engine's ReadRate.
	stallTimeout = 10 * time.Second
	bodyTimeout  = time.Minute
	// restTimeout is how long the rest of a body may take that the other node didn't wait for.
	restTimeout = time.Second
)

var errBody = errors.New("the client doesn't send its request")

// body is the body of a client's request.
type body struct {
	control *http.ResponseController // its deadlines fail only in tests without a server
	request *http.Request
	from    io.ReadCloser
	by      time.Time
	small   []byte // all of it, if it has been read
}

// newBody puts deadlines around the body of r.
func newBody(w http.ResponseWriter, r *http.Request) *body {
	b := &body{control: http.NewResponseController(w), request: r, from: r.Body, by: time.Now().Add(bodyTimeout)}
	if r.Method == http.MethodPost {
		r.Body = b
	}
	return b
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	by := time.Now().Add(stallTimeout)
	if by.After(b.by) {
		by = b.by
	}
	_ = b.control.SetReadDeadline(by)
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBody, err)
	}
	return n, err
}

// Close implements [io.Closer].
func (b *body) Close() error { return b.from.Close() }

// readSmall reads a body that is small, or reports false.
func (b *body) readSmall() (bool, error) {
	if b.request.Method != http.MethodPost {
		return true, nil // there is none
	}
	if b.request.ContentLength < 0 || b.request.ContentLength > maxSmall {
		return false, nil
	}
	b.small = make([]byte, b.request.ContentLength)
	_, err := io.ReadFull(b, b.small)
	_ = b.control.SetReadDeadline(time.Time{})
	b.rewind()
	return true, err
}

// rewind lets a small body be read again.
func (b *body) rewind() {
	if b.small != nil {
		b.request.Body = io.NopCloser(bytes.NewReader(b.small))
	}
}

// end is called when the other node has answered. net/http waits for what it hasn't read.
func (b *body) end() {
	if b.small == nil && b.request.Method == http.MethodPost {
		_ = b.control.SetReadDeadline(time.Now().Add(restTimeout))
	}
}
