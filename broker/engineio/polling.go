package engineio

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

var (
	errPollAborted = errors.New("engineio: the client gave up its poll")
	errLostAnswer  = errors.New("engineio: the client polls again without the answer to its last poll")
	errLostPost    = errors.New("engineio: the client posts again without its last post")
)

// polling is the state of a connection over long-polling. Conn.mu guards all but the channels.
type polling struct {
	ready    chan struct{} // holds a token when there is something for the pending GET to look at
	delivery chan struct{} // holds a token while a POST's packets are delivered
	ended    chan struct{} // closed when the connection ends before it leaves long-polling

	handshake requestID // of the request that opened the session; static
	reused    bool      // the client uses one value of t for several requests

	gets        requestLog
	pending     *poll // the GET that waits for an answer
	last        *poll // the last GET that was answered, for its repeats
	awaitedPoll awaited

	posts       requestLog
	post        *post // the last POST; it may still be read or delivered
	posted      bool  // there has been a POST
	awaitedPost awaited

	toldEnd bool   // the client has got the answer that says that the session has ended
	noopDue bool   // the next GET gets a noop if there are no messages
	endBody []byte // the answer to a pending GET when the session ends; nil: no such session
}

func newPolling(handshake requestID) *polling {
	return &polling{
		ready: make(chan struct{}, 1), delivery: make(chan struct{}, 1), ended: make(chan struct{}), handshake: handshake,
	}
}

// beginDelivery waits until no POST's packets are delivered, and takes the token for that. It reports
// false if the connection c, whose state this is, has ended meanwhile.
func (p *polling) beginDelivery(c *Conn) bool {
	select {
	case p.delivery <- struct{}{}:
		return true
	default: // only now, as the channel takes memory for as long as the connection lasts
	}
	select {
	case p.delivery <- struct{}{}:
		return true
	case <-c.Done():
		return false
	}
}

// signal has the pending GET look at the queue.
func (p *polling) signal() {
	select {
	case p.ready <- struct{}{}:
	default: // it is going to look anyway
	}
}

// currentPoll returns the GET that is pending, or else the last one that was answered; nil if
// there is none.
func (p *polling) currentPoll() *poll {
	if p.pending != nil {
		return p.pending
	}
	return p.last
}

// lastPoll identifies the last GET.
func (p *polling) lastPoll() identity {
	if g := p.currentPoll(); g != nil {
		return g.identity
	}
	return identity{}
}

// lastPost identifies the last POST.
func (p *polling) lastPost() identity {
	if p.post == nil {
		return identity{}
	}
	return p.post.identity
}

// respond writes a whole response. Its error says that the socket has not taken all of it.
func respond(w http.ResponseWriter, contentType string, body []byte, timeout time.Duration) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines. Without them, those of the caller's http.Server
	// count.
	_ = control.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}
