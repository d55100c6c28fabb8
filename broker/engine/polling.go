package engine

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// noopInterval is how long a poll may be held back while the client upgrades: the client waits for it to be answered
// before it goes on.
const noopInterval = 100 * time.Millisecond

var errPollAborted = errors.New("engine: the client gave up its poll")

// polling is the state of a connection over long-polling. All but the channels is guarded by Conn.mu.
type polling struct {
	ready    chan struct{} // holds a token when the pending GET has something to look at
	delivery chan struct{} // holds a token while a POST's packets are delivered

	pending   bool // a GET waits for something to be answered with
	answering bool // the answer to a GET is being written; the client may have it already, and send the next GET
	posting   bool // a POST is being read or delivered
	posted    bool // there has been a POST
	nudge     bool // the next GET without messages gets a noop at once
	left      bool // the client has said goodbye
}

func newPolling() *polling {
	return &polling{ready: make(chan struct{}, 1), delivery: make(chan struct{}, 1)}
}

// signal makes a pending GET look at the queue.
func (p *polling) signal() {
	select {
	case p.ready <- struct{}{}:
	default: // it's going to look anyway
	}
}

// beginPoll makes a GET the pending one.
func (c *Conn) beginPoll() (*polling, refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed:
		return nil, unknownSession
	case c.ws != nil:
		return nil, badRequest
	case c.poll.pending:
		return nil, overlap
	}
	c.poll.pending = true
	if c.state == stateClosing { // it is still there, so it may have all the time that a close may take
		c.deadlines.close = c.closeBy
		c.arm()
	}
	return c.poll, accepted
}

// servePoll answers a GET: at once if there is something to send, or else as soon as there is.
func (c *Conn) servePoll(w http.ResponseWriter, r *http.Request) {
	p, refused := c.beginPoll()
	if refused != accepted {
		if refused == overlap {
			c.terminate(ReasonTransportError, errors.New("engine: overlapping polls"))
		}
		refused.write(w)
		return
	}
	body, err := c.awaitPayload(p, r)
	if len(body) == 1 && body[0] == packetNoop {
		// The client upgrades, and needs this connection of net/http's no more.
		w.Header().Set("Connection", "close")
	}
	if err == nil {
		err = respond(w, "text/plain; charset=UTF-8", body, c.server.opts.WriteTimeout)
	}
	c.endPoll(p, err)
}

// awaitPayload waits until there is something to answer a poll with.
func (c *Conn) awaitPayload(p *polling, r *http.Request) ([]byte, error) {
	var hold <-chan time.Time
	held := false
	for {
		body, upgrading := c.takePayload(p, held)
		if body != nil {
			return body, nil
		}
		if upgrading && hold == nil {
			hold = time.After(noopInterval)
		}
		select {
		case <-p.ready:
		case <-hold:
			held = true
		case <-c.done:
		case <-r.Context().Done():
			c.mu.Lock()
			p.pending = false
			c.mu.Unlock()
			return nil, errPollAborted
		}
	}
}

// takePayload returns the answer to a poll, or nil if there is none yet. held says that the poll has waited for as
// long as an upgrade allows.
func (c *Conn) takePayload(p *polling, held bool) (body []byte, upgrading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed && p.left:
		body = []byte{packetNoop}
	case c.state == stateClosed:
		body = []byte{packetClose}
	case p.answering: // the last answer must be out before more is taken off the queue
	case c.ws != nil:
		body = []byte{packetNoop} // what is queued goes the new way
	case !c.out.empty():
		body = c.out.payload(c.server.opts.MaxPayload)
	case p.nudge || held && c.probing:
		body, p.nudge = []byte{packetNoop}, false
	}
	if body != nil {
		p.pending, p.answering = false, true
	}
	return body, c.probing
}

// endPoll is called when a poll has been answered, or could not be.
func (c *Conn) endPoll(p *polling, err error) {
	c.mu.Lock()
	p.answering = false
	switch {
	case p.pending:
		p.signal()
	case c.ws != nil:
		c.leavePolling()
	case c.state == stateClosing:
		c.limitClose() // a client that is still there polls again at once
	}
	closed := c.state == stateClosing && c.ws == nil && c.out.empty()
	c.mu.Unlock()

	if err != nil {
		c.terminate(ReasonTransportError, err) // what was taken off the queue is lost
	} else if closed {
		c.terminate(ReasonForcedClose, nil)
	}
}

// leavePolling is called once the connection is upgraded and no poll is left. The caller holds mu.
func (c *Conn) leavePolling() {
	c.poll = nil
	if !c.out.empty() {
		c.schedule()
	}
}

// beginPost claims the right to deliver packets.
func (c *Conn) beginPost() (*polling, refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed:
		return nil, unknownSession
	case c.ws != nil:
		return nil, badRequest
	case c.poll.posting:
		return nil, overlap
	}
	c.poll.posting = true
	return c.poll, accepted
}

// servePost delivers the packets of a POST.
func (c *Conn) servePost(w http.ResponseWriter, r *http.Request) {
	p, refused := c.beginPost()
	switch refused {
	case accepted:
		refused = c.post(p, w, r)
		c.mu.Lock()
		if c.probing || c.ws != nil || !p.posted {
			// Most clients post once, to join a namespace, and then upgrade: what net/http keeps for the next
			// request would be there for nothing, as long as its idle timeout.
			w.Header().Set("Connection", "close")
		}
		p.posting, p.posted = false, true
		c.mu.Unlock()
	case overlap:
		c.terminate(ReasonTransportError, errors.New("engine: overlapping posts"))
	}
	if refused != accepted {
		refused.write(w)
		return
	}
	// If this fails the client can't tell whether its packets arrived, which is for the client to handle.
	_ = respond(w, "text/html", []byte("ok"), c.server.opts.WriteTimeout)
}

// post reads and delivers the body of r.
func (c *Conn) post(p *polling, w http.ResponseWriter, r *http.Request) refusal {
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		c.terminate(ReasonTransportError, errors.New("engine: binary payload"))
		return badRequest
	}
	body, err := c.readBody(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		c.terminate(ReasonMessageTooLarge, err)
		return bodyTooLarge
	case err != nil:
		c.terminate(ReasonTransportError, err)
		return badRequest
	}
	select {
	case p.delivery <- struct{}{}:
	case <-c.done:
		return unknownSession
	}
	defer func() { <-p.delivery }()
	return c.deliverPayload(p, body)
}

func (c *Conn) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := c.server.opts.receiveLimit()
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	deadline := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines; the caller's http.Server should have its own then.
	_ = deadline.SetReadDeadline(time.Now().Add(c.server.opts.WriteTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil { // or else net/http still has to read the rest, which must end too
		_ = deadline.SetReadDeadline(time.Time{})
	}
	return body, err
}

// deliverPayload hands the packets of a POST to the receiver. The caller holds p.delivery.
func (c *Conn) deliverPayload(p *polling, body []byte) refusal {
	c.mu.Lock()
	upgraded := c.ws != nil
	c.mu.Unlock()
	if upgraded {
		return badRequest // packets may have come the new way since, which these must not follow
	}
	var failed error
	left := false
	err := parsePayload(body, func(p packet) bool {
		if left = p.kind == packetClose; left {
			return false
		}
		failed = c.receive(p)
		return failed == nil
	})
	switch {
	case err != nil:
		c.terminate(ReasonParseError, err)
		return badRequest
	case failed != nil:
		c.terminate(readReason(failed), failed)
		return badRequest
	case left:
		c.mu.Lock()
		p.left = true
		c.mu.Unlock()
		c.terminate(ReasonTransportClose, nil)
	}
	return accepted
}

// respond writes a whole response and reports whether the socket took it.
func respond(w http.ResponseWriter, contentType string, body []byte, timeout time.Duration) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines; the caller's http.Server should have its own then.
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
