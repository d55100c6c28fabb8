package engineio

import (
	"hash/maphash"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Browsers silently repeat a request when a kept connection is reset before the response begins.
// Chromium does so for POSTs too. Stock clients give each request a value of its own, the query
// parameter t. So a request with the same value is the same request: a GET gets the same answer,
// and a POST isn't delivered twice.
//
// Other clients send no t, the time in seconds (the .NET client), or a constant. Their requests
// must never be taken for repeats: a GET would get an answer that the client has already, and a
// POST would be lost. So a value that looks like a time counts as none, and a session's values
// count only until something shows that the client reuses them; see polling.recognize.
const (
	// maxRequestID is the longest t that counts. Those of stock clients have 5 to 18 bytes.
	maxRequestID = 64
	// randomDigits is how long a t is that may be all digits and still identify its request:
	// socket.io-client 4.8 uses eight random characters, and one in 30,000 has only digits. Times
	// in seconds have ten.
	randomDigits = 8
	// maxRepeats is how often a request may come again. Chromium repeats a request only when a
	// kept connection fails, and keeps six.
	maxRepeats = 6
	// maxPast is how many requests before the last are remembered for each method. A copy of one
	// may be read late: its connection was reset after its bytes had arrived.
	maxPast = 16
	// repeatGrace is how long a session waits for the repeat of a failed request. A new
	// connection on a bad line takes that long.
	repeatGrace = 3 * time.Second
)

// requestID tells a request from all others of its session, except from its own repeats.
type requestID struct {
	sum  uint64 // of the value of t; 0 if the request can't be recognized
	conn string // the connection that it came over, for clients that repeat only on another one
}

// newRequestID returns the id of a request with the query parameter t.
func newRequestID(seed maphash.Seed, r *http.Request, t string) requestID {
	digits := strings.Trim(t, "0123456789") == "" && len(t) != randomDigits
	if t == "" || digits || len(t) > maxRequestID {
		return requestID{}
	}
	id := requestID{sum: maphash.String(seed, t)}
	// A direct client repeats on a new connection. Behind a proxy, connections say nothing.
	// Behind a trusted one the client's address has no port; behind any other, only browsers are
	// known to run the stock client.
	_, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil && !strings.HasPrefix(r.UserAgent(), "Mozilla/") {
		id.conn = r.RemoteAddr
	}
	return id
}

// known reports whether repeats of the request can be recognized.
func (id requestID) known() bool { return id.sum != 0 }

func (id requestID) repeats(earlier requestID) bool { return id.known() && id.sum == earlier.sum }

// identity is what identifies a request, and how often it has come again.
type identity struct {
	id    requestID
	times int
}

// recognize returns id, or an unknown id if the client is known to reuse values. log belongs to the
// request's method and last is the last request of that method; other is the last request of the
// other method. The caller holds Conn.mu.
func (p *polling) recognize(id requestID, log *requestLog, last, other identity) requestID {
	switch {
	case !id.known():
	case id.repeats(p.handshake), id.repeats(other.id):
		p.reused = true
	case log.isPast(id) && log.lateCopies >= maxRepeats:
		p.reused = true
	case id.repeats(last.id) && (last.times >= maxRepeats || id.conn != "" && id.conn == last.id.conn):
		p.reused = true
	}
	if p.reused {
		return requestID{}
	}
	return id
}

// requestLog remembers the requests of one method before the last. Conn.mu guards it.
type requestLog struct {
	past       [maxPast]uint64 // sums; a ring
	next       int
	lateCopies int // of past requests, since the last new one
}

// retire remembers the last request when the next one comes.
func (l *requestLog) retire(id requestID) {
	l.lateCopies = 0
	if id.known() {
		l.past[l.next%maxPast] = id.sum
		l.next++
	}
}

func (l *requestLog) isPast(id requestID) bool {
	return id.known() && slices.Contains(l.past[:], id.sum)
}

// awaited is the repeat of a request that has failed.
type awaited struct {
	until time.Duration // uptime of the server; 0 if no repeat is awaited
	cause error         // why the request failed
}

// awaitRepeat has the session end after repeatGrace, unless the failed request comes again. The
// caller holds mu.
func (c *Conn) awaitRepeat(a *awaited, cause error) {
	a.until, a.cause = c.server.uptime()+repeatGrace, cause
	c.arm()
}

// earliest returns when the session ends if no repeat comes; 0 if none is awaited.
func (p *polling) earliest() time.Duration { return earlier(p.awaitedPoll.until, p.awaitedPost.until) }

// overdue returns why the session has to end at now; nil if it needn't.
func (p *polling) overdue(now time.Duration) error {
	for _, a := range [...]awaited{p.awaitedPoll, p.awaitedPost} {
		if passed(a.until, now) {
			return a.cause
		}
	}
	return nil
}

// mayRepeat reports whether a failed request may come again. The caller holds mu.
func (c *Conn) mayRepeat(p *polling, id requestID) bool {
	return id.known() && !p.reused && c.poll == p && c.ws == nil && c.state != stateClosed
}
