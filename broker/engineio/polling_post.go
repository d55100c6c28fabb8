package engineio

import (
	"errors"
	"hash/maphash"
	"net/http"
)

// post is one POST with its copies. Conn.mu guards the fields, except done, and result after
// that.
type post struct {
	identity
	copies int    // that are being read
	taken  bool   // a copy has been read, and is or was delivered
	sum    uint64 // of its body

	done   chan struct{} // closed when the POST has been delivered
	result refusal       // static once done is closed
}

// running reports whether the POST is being read or delivered.
func (q *post) running() bool {
	select {
	case <-q.done:
		return false
	default:
		return q.taken || q.copies > 0
	}
}

// servePost delivers the packets of a POST.
func (c *Conn) servePost(w http.ResponseWriter, r *http.Request, id requestID) {
	p, q, refused := c.beginPost(id)
	switch {
	case q != nil:
		refused = c.deliverPost(p, q, w, r)
		c.mu.Lock()
		if c.probing || c.ws != nil || !p.posted {
			// Most clients post once, to join a namespace, and then upgrade. They would leave an
			// HTTP connection behind until its idle timeout.
			w.Header().Set("Connection", "close")
		}
		p.posted = true
		c.mu.Unlock()
	case refused == overlap:
		c.terminate(ReasonTransportError, errors.New("engineio: overlapping posts"))
	case refused == lostRequest:
		c.terminate(ReasonTransportError, errLostPost)
	case refused == accepted && staysAfterRefusal(r): // otherwise it would go on for a while
		refused = unknownSession
	}
	switch refused {
	case accepted:
	case lateCopy: // the session goes on
		refused.write(w)
		return
	default:
		refuse(w, r, refused)
		return
	}
	// If this fails, the client can't tell whether its packets have arrived. It repeats the POST
	// or gives up the session.
	_ = respond(w, "text/html", []byte("ok"), c.server.opts.WriteTimeout)
}

// beginPost claims the right to deliver packets. The post is nil if there is nothing to deliver;
// the refusal may be accepted all the same, after the end of the session.
func (c *Conn) beginPost(id requestID) (*polling, *post, refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == stateClosed && c.poll != nil:
		return nil, nil, c.poll.lateAnswer()
	case c.state == stateClosed:
		return nil, nil, unknownSession
	case c.ws != nil:
		return nil, nil, badRequest
	}
	p := c.poll
	q := p.post
	id = p.recognize(id, &p.posts, p.lastPost(), p.lastPoll())
	switch {
	case p.posts.isPast(id):
		p.posts.lateCopies++
		return nil, nil, lateCopy
	case q != nil && id.repeats(q.id):
		q.times++
	case q != nil && q.running():
		return nil, nil, overlap
	case p.awaitedPost.until != 0:
		return nil, nil, lostRequest
	default:
		p.posts.retire(p.lastPost().id)
		q = &post{identity: identity{id: id}, done: make(chan struct{})}
		p.post = q
	}
	q.copies++
	p.awaitedPost = awaited{}
	c.arm()
	return p, q, accepted
}

// deliverPost reads and delivers the body of r. If r is a repeat, it waits for the result of the first
// copy.
func (c *Conn) deliverPost(p *polling, q *post, w http.ResponseWriter, r *http.Request) refusal {
	if r.Header.Get("Content-Type") == "application/octet-stream" {
		c.terminate(ReasonTransportError, errors.New("engineio: binary payload"))
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
	case errors.Is(err, errUnfinished):
		c.EndUnfinished()
		return tooMuchUnfinished
	case err != nil:
		c.abortPost(p, q, err)
		return badRequest
	}
	q, isRepeat := c.claimPost(p, q, maphash.Bytes(c.server.seed, body))
	switch {
	case q == nil:
		c.terminate(ReasonTransportError, errors.New("engineio: overlapping posts"))
		return overlap
	case isRepeat:
		return c.awaitPost(p, q)
	}
	begun := p.beginDelivery(c)
	if !begun {
		return c.lateAnswer(p)
	}
	defer func() { <-p.delivery }()
	q.result = c.deliverPayload(p, body)
	if q.result == accepted && !whole && c.established.Load() {
		// A client may send more right after its CONNECT. That must not be lost silently.
		c.terminate(ReasonMessageTooLarge, nil)
		q.result = bodyTooLarge
	}
	close(q.done)
	return q.result
}

// claimPost claims the delivery of a POST whose body has been read, unless a copy of it is or was
// delivered. A body that differs from that copy's belongs to another POST, which claimPost returns;
// nil if the first is still running.
func (c *Conn) claimPost(p *polling, q *post, sum uint64) (_ *post, isRepeat bool) {
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

// abortPost is called when the body of a POST couldn't be read.
func (c *Conn) abortPost(p *polling, q *post, err error) {
	c.mu.Lock()
	q.copies--
	needed := p.post == q && !q.taken && q.copies == 0
	waits := needed && c.mayRepeat(p, q.id)
	if waits {
		c.awaitRepeat(&p.awaitedPost, err)
	}
	c.mu.Unlock()

	if needed && !waits {
		c.terminate(ReasonTransportError, err)
	}
}

// awaitPost waits for the result of a POST.
func (c *Conn) awaitPost(p *polling, q *post) refusal {
	select {
	case <-q.done:
		return q.result
	case <-c.Done():
	}
	select {
	case <-q.done: // the POST itself has ended the session
		return q.result
	default:
		return c.lateAnswer(p)
	}
}

// lateAnswer returns the answer to a POST that comes after the session has ended. If the client has
// only just been told, the POST is accepted: python-engineio 4.3 never connects again after a
// POST that is refused. The caller holds Conn.mu.
func (p *polling) lateAnswer() refusal {
	if p.toldEnd {
		return accepted
	}
	return unknownSession
}

func (c *Conn) lateAnswer(p *polling) refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return p.lateAnswer()
}

// deliverPayload hands the packets of a POST to the receiver. The caller holds p.delivery.
func (c *Conn) deliverPayload(p *polling, body []byte) refusal {
	c.mu.Lock()
	upgraded := c.ws != nil
	c.mu.Unlock()
	if upgraded {
		return badRequest // later packets may have come over the WebSocket
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
		p.endBody = []byte{packetNoop}
		c.mu.Unlock()
		c.terminate(ReasonTransportClose, nil)
	}
	return accepted
}
