package engineio

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"strconv"
	"time"
)

// noopInterval is how long a poll may be held back while the client upgrades: the client waits for it to be answered
// before it goes on.
const noopInterval = 100 * time.Millisecond

var (
	errPollAborted = errors.New("engine: the client gave up its poll")
	errLostAnswer  = errors.New("engine: the client polls again without the answer to its last poll")
	errLostPost    = errors.New("engine: the client posts again without its last post")
)

// polling is the state of a connection over long-polling. Conn.mu guards all but the channels.
type polling struct {
	ready    chan struct{} // holds a token when the pending GET has something to look at
	delivery chan struct{} // holds a token while a POST's packets are delivered

	handshake requestID // of the request that opened the session; static
	reused    bool      // the client uses one value of t for several requests

	gets       requestLog
	pending    *poll // the GET that waits for something to be answered with
	last       *poll // the GET that was answered last, until the next one shows that its answer has arrived
	absentPoll absent

	posts      requestLog
	post       *post // the last POST; it may still be read or delivered
	posted     bool  // there has been a POST
	absentPost absent

	told  bool   // the client has got the answer that says that the session has ended
	nudge bool   // the next GET without messages gets a noop at once
	end   []byte // what a pending GET gets when the session has ended; nil: that there is no such session
}

func newPolling(handshake requestID) *polling {
	return &polling{ready: make(chan struct{}, 1), delivery: make(chan struct{}, 1), handshake: handshake}
}

// signal makes a pending GET look at the queue.
func (p *polling) signal() {
	select {
	case p.ready <- struct{}{}:
	default: // it's going to look anyway
	}
}

// poll is one GET with its copies: a browser may repeat it, and the server can't tell which copy's connection is alive.
// The server may even read the repeat first. So all copies wait together and get the same answer. Conn.mu guards the
// fields.
type poll struct {
	id     requestID
	times  int // it has come again
	copies int // are waiting for the answer, or being answered

	answered chan struct{} // closed when there is an answer
	answer   answer
	sent     bool // a copy's connection took the answer, so the client may have it
	failed   bool // no copy's connection took the answer, so only a repeat gets it
}

// answer is what a GET gets: a payload, or a refusal.
type answer struct {
	body    []byte
	refused refusal
}

func (a answer) ready() bool { return a.body != nil || a.refused != accepted }

// writing reports whether no copy's connection has taken the answer yet, and one still may.
func (g *poll) writing() bool { return g != nil && g.copies > 0 && !g.sent }

// currentPoll returns the GET that is pending, or else the one that was answered last; nil if there is none.
func (p *polling) currentPoll() *poll {
	if p.pending != nil {
		return p.pending
	}
	return p.last
}

// lastPoll returns what identifies the last GET.
func (p *polling) lastPoll() requestID {
	if g := p.currentPoll(); g != nil {
		return g.id
	}
	return requestID{}
}

// lastPost returns what identifies the last POST.
func (p *polling) lastPost() requestID {
	if p.post == nil {
		return requestID{}
	}
	return p.post.id
}

// beginPoll makes a GET the pending one, unless it is a copy of the current one.
func (c *Conn) beginPoll(id requestID) (*polling, *poll, refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed:
		return nil, nil, unknownSession
	case c.ws != nil:
		return nil, nil, badRequest
	}
	p := c.poll
	g := p.currentPoll()
	times := 0
	if g != nil {
		times = g.times
	}
	id = p.recognize(id, &p.gets, p.lastPoll(), times, p.lastPost())
	switch {
	case p.gets.isPast(id):
		p.gets.lateCopies++
		return nil, nil, lateCopy
	case g != nil && id.repeats(g.id):
		g.times++
		g.failed = false
	case p.pending != nil:
		p.end = []byte{packetClose}
		return nil, nil, overlap
	case g != nil && g.failed:
		return nil, nil, lostRequest
	default:
		p.gets.retire(p.lastPoll())
		if g != nil {
			g.answer = answer{refused: lateCopy} // the client has the payload, so nobody needs it any more
		}
		g = &poll{id: id, answered: make(chan struct{})}
		p.pending = g
	}
	g.copies++
	p.absentPoll = absent{}
	if c.state == stateClosing { // it is still there, so it may have all the time that a close may take
		c.deadlines.close = c.closeBy
	}
	c.arm()
	return p, g, accepted
}

// servePoll answers a GET: at once if there is something to send, or else as soon as there is.
func (c *Conn) servePoll(w http.ResponseWriter, r *http.Request, id requestID) {
	p, g, refused := c.beginPoll(id)
	switch refused {
	case accepted:
	case overlap:
		c.terminate(ReasonTransportError, errors.New("engine: overlapping polls"))
	case lostRequest:
		c.terminate(ReasonTransportError, errLostAnswer)
	}
	if refused != accepted {
		refused.write(w)
		return
	}
	a, err := c.awaitAnswer(p, g, r)
	if err != nil {
		c.abortPoll(p, g, err)
		return
	}
	if a.refused != accepted {
		a.refused.write(w)
	} else {
		if len(a.body) == 1 && a.body[0] == packetNoop {
			// The client upgrades, and needs this connection of net/http's no more.
			w.Header().Set("Connection", "close")
		}
		err = respond(w, "text/plain; charset=UTF-8", a.body, c.server.opts.WriteTimeout)
	}
	c.endPoll(p, g, err)
}

// awaitAnswer waits until there is something to answer a poll with.
func (c *Conn) awaitAnswer(p *polling, g *poll, r *http.Request) (answer, error) {
	var hold <-chan time.Time
	held := false
	for {
		a, upgrading := c.takeAnswer(p, g, held)
		if a.ready() {
			return a, nil
		}
		if upgrading && hold == nil {
			hold = time.After(noopInterval)
		}
		select {
		case <-p.ready:
		case <-g.answered: // another copy took it
		case <-hold:
			held = true
		case <-c.done:
		case <-r.Context().Done():
			return answer{}, errPollAborted
		}
	}
}

// takeAnswer returns the answer to a poll, if there is one yet. held says that the poll has waited for as long as an
// upgrade allows.
func (c *Conn) takeAnswer(p *polling, g *poll, held bool) (a answer, upgrading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case g.answer.ready(): // another copy took it
		return g.answer, false
	case c.state == stateClosed && p.end == nil:
		a.refused = unknownSession
	case c.state == stateClosed:
		a.body = p.end
	case p.last.writing(): // the last answer must be out before more is taken off the queue
	case c.ws != nil:
		a.body = []byte{packetNoop} // what is queued goes the new way
	case c.out.ends():
		a.refused = unknownSession
		c.out.discard(1)
	case !c.out.empty():
		a.body = c.out.payload(c.server.opts.MaxPayload)
	case p.nudge || held && c.probing:
		a.body, p.nudge = []byte{packetNoop}, false
	}
	if a.ready() {
		g.answer = a
		close(g.answered)
		p.pending, p.last = nil, g
	}
	return a, c.probing
}

// abortPoll is called when the client has given up a copy of a poll, or lost its connection, before there was an answer.
func (c *Conn) abortPoll(p *polling, g *poll, err error) {
	c.mu.Lock()
	g.copies--
	current := p.pending == g && g.copies == 0
	if current {
		p.pending = nil
	}
	waits := current && c.mayRepeat(p, g.id)
	if waits {
		c.await(&p.absentPoll, err)
	}
	c.mu.Unlock()

	if current && !waits {
		c.terminate(ReasonTransportError, err)
	}
}

// mayRepeat reports whether a request that has failed may come again. The caller holds mu.
func (c *Conn) mayRepeat(p *polling, id requestID) bool {
	return id.known() && !p.reused && c.poll == p && c.ws == nil && c.state != stateClosed
}

// endPoll is called when a copy of a poll has been answered, or could not be. While no copy has been and others may, it
// does nothing.
func (c *Conn) endPoll(p *polling, g *poll, err error) {
	c.mu.Lock()
	g.copies--
	g.sent = g.sent || err == nil
	if c.poll != p || p.last != g || g.writing() {
		c.mu.Unlock()
		return
	}
	switch {
	case p.pending != nil:
		p.signal()
	case c.ws != nil:
		c.leavePolling()
	case c.state == stateClosing:
		c.limitClose() // a client that is still there polls again at once
	}
	closed := c.state == stateClosing && c.ws == nil && c.out.empty()
	p.told = p.told || closed
	waits := !g.sent && !closed && p.pending == nil && c.mayRepeat(p, g.id)
	if waits {
		g.failed = true
		c.await(&p.absentPoll, err)
	}
	if g.copies == 0 && !g.id.known() {
		g.answer.body = nil // no repeat can ask for it
	}
	sent := g.sent
	c.mu.Unlock()

	switch {
	case waits:
	case !sent:
		c.terminate(ReasonTransportError, err) // what was taken off the queue is lost
	case closed:
		c.terminate(ReasonForcedClose, nil)
	}
}

// leavePolling is called once the connection is upgraded and no poll is left. The caller holds mu.
func (c *Conn) leavePolling() {
	c.poll = nil
	c.arm()
	if !c.out.empty() {
		c.schedule()
	}
}

// post is one POST, with its repeats. Guarded by Conn.mu, except done.
type post struct {
	id     requestID
	times  int    // it has come again
	copies int    // are being read
	taken  bool   // one has been read, and is or was delivered
	sum    uint64 // of its body

	done   chan struct{} // closed when it has been delivered
	result refusal       // static after that
}

// running reports whether the POST is read or delivered at the moment.
func (q *post) running() bool {
	select {
	case <-q.done:
		return false
	default:
		return q.taken || q.copies > 0
	}
}

// beginPost claims the right to deliver packets. There is no post to deliver if the session has ended and the POST is
// accepted all the same.
func (c *Conn) beginPost(id requestID) (*polling, *post, refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed && c.poll != nil:
		return nil, nil, c.poll.late()
	case c.state == stateClosed:
		return nil, nil, unknownSession
	case c.ws != nil:
		return nil, nil, badRequest
	}
	p := c.poll
	q := p.post
	times := 0
	if q != nil {
		times = q.times
	}
	id = p.recognize(id, &p.posts, p.lastPost(), times, p.lastPoll())
	switch {
	case p.posts.isPast(id):
		p.posts.lateCopies++
		return nil, nil, lateCopy
	case q != nil && id.repeats(q.id):
		q.times++
	case q != nil && q.running():
		return nil, nil, overlap
	case !p.absentPost.until.IsZero():
		return nil, nil, lostRequest
	default:
		p.posts.retire(p.lastPost())
		q = &post{id: id, done: make(chan struct{})}
		p.post = q
	}
	q.copies++
	p.absentPost = absent{}
	c.arm()
	return p, q, accepted
}

// servePost delivers the packets of a POST.
func (c *Conn) servePost(w http.ResponseWriter, r *http.Request, id requestID) {
	p, q, refused := c.beginPost(id)
	switch {
	case q != nil:
		refused = c.post(p, q, w, r)
		c.mu.Lock()
		if c.probing || c.ws != nil || !p.posted {
			// Most clients post once, to join a namespace, and then upgrade: what net/http keeps for the next
			// request would be there for nothing, as long as its idle timeout.
			w.Header().Set("Connection", "close")
		}
		p.posted = true
		c.mu.Unlock()
	case refused == overlap:
		c.terminate(ReasonTransportError, errors.New("engine: overlapping posts"))
	case refused == lostRequest:
		c.terminate(ReasonTransportError, errLostPost)
	}
	if refused != accepted {
		refused.write(w)
		return
	}
	// If this fails the client can't tell whether its packets arrived: it repeats the POST, or gives the session up.
	_ = respond(w, "text/html", []byte("ok"), c.server.opts.WriteTimeout)
}

// post reads and delivers the body of r, or, if r is a repeat, waits for what becomes of the first.
func (c *Conn) post(p *polling, q *post, w http.ResponseWriter, r *http.Request) refusal {
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		c.terminate(ReasonTransportError, errors.New("engine: binary payload"))
		return badRequest
	}
	in := c.newIntake()
	defer in.release()
	body, whole, err := c.readBody(w, r, in)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		c.terminate(ReasonMessageTooLarge, err)
		return bodyTooLarge
	case errors.Is(err, errHoards):
		c.Hoards()
		return tooMuchUnfinished
	case err != nil:
		c.abortPost(p, q, err)
		return badRequest
	}
	q, isRepeat := c.take(p, q, maphash.Bytes(c.server.seed, body))
	switch {
	case q == nil:
		c.terminate(ReasonTransportError, errors.New("engine: overlapping posts"))
		return overlap
	case isRepeat:
		return c.awaitPost(p, q)
	}
	select {
	case p.delivery <- struct{}{}:
	case <-c.done:
		return c.late(p)
	}
	defer func() { <-p.delivery }()
	q.result = c.deliverPayload(p, body)
	if q.result == accepted && !whole && c.established.Load() {
		// What a client sends behind its CONNECT, without waiting for the answer, must not be lost in silence.
		c.terminate(ReasonMessageTooLarge, nil)
		q.result = bodyTooLarge
	}
	close(q.done)
	return q.result
}

// abortPost is called when the body of a POST couldn't be read.
func (c *Conn) abortPost(p *polling, q *post, err error) {
	c.mu.Lock()
	q.copies--
	needed := p.post == q && !q.taken && q.copies == 0
	waits := needed && c.mayRepeat(p, q.id)
	if waits {
		c.await(&p.absentPost, err)
	}
	c.mu.Unlock()

	if needed && !waits {
		c.terminate(ReasonTransportError, err)
	}
}

// take has a POST delivered whose body has been read, unless a copy of it is delivered already. A body that differs
// from that copy's shows that it is another POST, which is returned; nil if the first is still under way.
func (c *Conn) take(p *polling, q *post, sum uint64) (_ *post, isRepeat bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q.copies--
	switch {
	case !q.taken:
		q.taken, q.sum = true, sum
	case q.sum == sum:
		return q, true
	case q.running():
		return nil, false
	default:
		p.reused = true
		q = &post{taken: true, sum: sum, done: make(chan struct{})}
		p.post = q
	}
	return q, false
}

// awaitPost returns what becomes of a POST.
func (c *Conn) awaitPost(p *polling, q *post) refusal {
	select {
	case <-q.done:
		return q.result
	case <-c.done:
	}
	select {
	case <-q.done: // it is what ended the session
		return q.result
	default:
		return c.late(p)
	}
}

// late says what a POST gets for which the session has ended. One that was on its way when the client was told so is
// accepted: python-engineio 4.3 never connects again after a POST that is refused. The caller holds Conn.mu.
func (p *polling) late() refusal {
	if p.told {
		return accepted
	}
	return unknownSession
}

func (c *Conn) late(p *polling) refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return p.late()
}

// readBody reads the body of a POST, and keeps as much of it as may be kept; whole is false if that isn't all.
func (c *Conn) readBody(w http.ResponseWriter, r *http.Request, in *intake) (body []byte, whole bool, err error) {
	limit, keep := c.messageLimits()
	if r.ContentLength > limit {
		return nil, false, &http.MaxBytesError{Limit: limit}
	}
	control := http.NewResponseController(w)
	deadline := time.Now().Add(c.server.opts.WriteTimeout)
	// Not every ResponseWriter has deadlines; the caller's http.Server should have its own then.
	_ = control.SetReadDeadline(deadline)
	in.cut = func() { // also while the body is read
		c.Hoards()
		_ = control.SetReadDeadline(time.Now())
	}
	scratch := c.server.buffers.get()
	defer c.server.buffers.put(scratch)
	from := http.MaxBytesReader(w, r.Body, limit)
	for arrived := int64(0); ; {
		n, failed := from.Read(scratch[:])
		arrived += int64(n)
		kept := scratch[:min(int64(n), keep-int64(len(body)))]
		if body, err = in.append(body, kept, keep); err != nil {
			return nil, false, err
		}
		switch {
		case errors.Is(failed, io.EOF):
			_ = control.SetReadDeadline(time.Time{})
			if whole = arrived == int64(len(body)); !whole {
				body = trimRune(body)
			}
			return body, whole, nil
		case failed != nil: // net/http still has to read the rest, which must end too
			return nil, false, failed
		}
		if wait := in.took(n); wait > 0 {
			deadline = deadline.Add(wait)
			_ = control.SetReadDeadline(deadline)
			if err := in.pause(wait); err != nil {
				return nil, false, err
			}
		}
	}
}

// append appends what has been read of a body, of which at most keep bytes are kept. One that fits into a read buffer
// isn't counted.
func (in *intake) append(body, p []byte, keep int64) ([]byte, error) {
	have := int64(cap(body))
	switch {
	case len(p) == 0:
		return body, nil
	case body == nil && len(p) < readBufferSize:
		return bytes.Clone(p), nil
	case int64(len(body)+len(p)) > have:
		more := min(max(have, minGrowth), keep-have)
		if err := in.reserve(more); err != nil {
			return nil, err
		}
		body = enlarge(body, more)
	}
	return append(body, p...), nil
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
		p.end = []byte{packetNoop}
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
