package listen

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxRejections bounds how many clients are being sent a rejection at the same time, and
	// rejectionTime how long each may take to read it. Further ones are closed without an answer.
	maxRejections = 16
	rejectionTime = time.Second
)

// rejection is the answer to a client over a limit.
const rejection = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 42\r\nRetry-After: 5\r\nConnection: close\r\n\r\n" +
	`{"code":3,"message":"No more connections"}`

// rejector answers and closes connections that may not come in, without blocking its caller.
type rejector struct {
	answer string        // empty behind TLS, where the client couldn't read it
	slots  chan struct{} // holds a token for each rejection being sent
	active sync.WaitGroup
}

func newRejector(answer string) *rejector {
	return &rejector{answer: answer, slots: make(chan struct{}, maxRejections)}
}

// reject takes over the connection.
func (r *rejector) reject(tcp *net.TCPConn) {
	select {
	case r.slots <- struct{}{}:
		r.active.Go(func() {
			r.send(tcp)
			<-r.slots
		})
	default:
		_ = tcp.Close() // there is nobody to tell about an error
	}
}

// send answers and reads until the client is gone. Closing a connection with unread data could make
// the client's system discard the answer.
func (r *rejector) send(tcp *net.TCPConn) {
	defer func() { _ = tcp.Close() }() // as above
	if r.answer == "" {
		return
	}
	if err := tcp.SetDeadline(time.Now().Add(rejectionTime)); err != nil {
		return
	}
	if _, err := io.WriteString(tcp, r.answer); err != nil {
		return
	}
	if err := tcp.CloseWrite(); err == nil {
		_, _ = io.Copy(io.Discard, tcp) // an error means that the client is gone
	}
}

// wait returns when all rejections have been sent.
func (r *rejector) wait() { r.active.Wait() }
