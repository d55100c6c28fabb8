package engineio

import (
	"errors"
	"net/http"
	"time"
)

// noopInterval is how long a poll may wait while the client upgrades. The client goes on with the
// upgrade only after the poll is answered.
const noopInterval = 100 * time.Millisecond

// poll is one GET with its copies. A browser may repeat a GET, and the server can't tell which
// copy's connection is alive; it may even read the repeat first. So all copies wait together and
// get the same answer. Conn.mu guards the fields, except that a received value of answered makes
// answer readable by its holder.
type poll struct {
	identity
	copies int // that wait for the answer, or to which it is being written

	answered chan struct{} // closed when there is an answer
	answer   answer
	sent     bool // a copy's socket has taken the answer, so the client may have it
	failed   bool // no copy's socket has taken the answer, so only a repeat can get it
}

// answer is what a GET gets: a payload, or a refusal.
type answer struct {
	body    []byte
	refused refusal
}

func (a answer) ready() bool { return a.body != nil || a.refused != accepted }

// writing reports whether the answer is still being written: no copy's socket has taken it, and
// one may. A nil poll isn't.
func (g *poll) writing() bool { return g != nil && g.copies > 0 && !g.sent }

// servePoll answers a GET: at once if there is something to send, or as soon as there is.
func (c *Conn) servePoll(w http.ResponseWriter, r *http.Request, id requestID) {
	p, g, refused := c.beginPoll(id)
	switch refused {
	case accepted:
	case overlap:
		c.terminate(ReasonTransportError, errors.New("engineio: overlapping polls"))
	case lostRequest:
		c.terminate(ReasonTransportError, errLostAnswer)
	}
	if refused != accepted {
		c.server.sendOff(w)
		refused.write(w)
		return
	}
	a, err := c.awaitAnswer(p, g, r)
	if err != nil {
		c.abortPoll(p, g, err)
		return
	}
	if a.refused != accepted {
		c.server.sendOff(w)
		a.refused.write(w)
	} else {
		if len(a.body) == 1 && a.body[0] == packetNoop {
			w.Header().Set("Connection", "close")
		}
		err = respond(w, "text/plain; charset=UTF-8", a.body, c.server.opts.WriteTimeout)
	}
	c.endPoll(p, g, err)
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
	id = p.recognize(id, &p.gets, p.lastPoll(), p.lastPost())
	switch {
	case p.gets.isPast(id):
		p.gets.lateCopies++
		return nil, nil, lateCopy
	case g != nil && id.repeats(g.id):
		g.times++
		g.failed = false
	case p.pending != nil:
		p.endBody = []byte{packetClose}
		return nil, nil, overlap
	case g != nil && g.failed:
		return nil, nil, lostRequest
	default:
		p.gets.retire(p.lastPoll().id)
		if g != nil {
			g.answer = answer{refused: lateCopy} // the client has the payload, so it needn't be kept
		}
		g = &poll{identity: identity{id: id}, answered: make(chan struct{})}
		p.pending = g
	}
	g.copies++
	p.awaitedPoll = awaited{}
	if c.state == stateClosing { // the client is still there, so the close may take all of its time
		c.deadlines.close = c.closeBy
	}
	c.arm()
	return p, g, accepted
}

// awaitAnswer waits until there is an answer for a poll.
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
		case <-p.ended: // a connection doesn't leave long-polling while a GET waits
		case <-r.Context().Done():
			return answer{}, errPollAborted
		}
	}
}

// takeAnswer returns the answer to a poll if there is one; otherwise the answer isn't ready. held
// says that the poll has waited for as long as an upgrade allows. upgrading says that an upgrade
// is under way.
func (c *Conn) takeAnswer(p *polling, g *poll, held bool) (a answer, upgrading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case g.answer.ready(): // another copy took it
		return g.answer, false
	case c.state == stateClosed && p.endBody == nil:
		a.refused = unknownSession
	case c.state == stateClosed:
		a.body = p.endBody
	case p.last.writing(): // nothing more leaves the queue until the last answer is out
	case c.ws != nil:
		a.body = []byte{packetNoop} // what is queued goes over the WebSocket
	case c.out.ends():
		a.refused = unknownSession
		c.out.discard(1)
	case !c.out.empty():
		a.body = c.out.payload(c.server.opts.MaxPayload)
	case p.noopDue || held && c.probing:
		a.body, p.noopDue = []byte{packetNoop}, false
	}
	if a.ready() {
		g.answer = a
		close(g.answered)
		p.pending, p.last = nil, g
	}
	return a, c.probing
}

// abortPoll is called when the client has given up a copy of a poll, or lost its connection,
// before there was an answer.
func (c *Conn) abortPoll(p *polling, g *poll, err error) {
	c.mu.Lock()
	g.copies--
	current := p.pending == g && g.copies == 0
	if current {
		p.pending = nil
	}
	waits := current && c.mayRepeat(p, g.id)
	if waits {
		c.awaitRepeat(&p.awaitedPoll, err)
	}
	c.mu.Unlock()

	if current && !waits {
		c.terminate(ReasonTransportError, err)
	}
}

// endPoll is called when a copy of a poll has been answered, or could not be. It does nothing
// while no socket has taken the answer and another copy's may.
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
	p.toldEnd = p.toldEnd || closed
	waits := !g.sent && !closed && p.pending == nil && c.mayRepeat(p, g.id)
	if waits {
		g.failed = true
		c.awaitRepeat(&p.awaitedPoll, err)
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

// leavePolling makes WebSocket the only transport, once the connection is upgraded and no poll is
// left. The caller holds mu.
func (c *Conn) leavePolling() {
	c.poll = nil
	c.arm()
	if !c.out.empty() {
		c.schedule(nil)
	}
}
