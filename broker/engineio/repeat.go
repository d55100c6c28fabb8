package engineio

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Browsers repeat a request silently when a connection that they have kept alive is reset before the response begins.
// Chromium does so for POSTs too. Stock clients give each request a value of its own, the query parameter t, so a
// request with the same value is the same request: a GET gets the same answer, a POST isn't delivered twice.
//
// Other clients send no t, the time in seconds (the .NET client), or a constant. Their requests must never be taken for
// repeats: a GET would be answered with what the client has already, and a POST would be lost. So a value that is only
// digits counts as none, and a session's values count only as long as nothing shows that the client reuses them:
// see polling.recognize.

const (
	// maxRequestID is the longest t that is remembered. Those of stock clients have 5 to 18 bytes.
	maxRequestID = 64
	// maxRepeats is how often one request may come again. Chromium repeats a request only on a kept connection, of which
	// it has six.
	maxRepeats = 6
	// maxCopies is how many copies of a POST may be read at a time: the server learns late that a connection is dead.
	maxCopies = 3
	// maxPast is how many values are remembered of the requests before the last. A copy of one may be read late: its
	// connection was reset, but its bytes had arrived.
	maxPast = 8
	// repeatGrace is how long a session waits for the repeat of a request that has failed: a new connection on a bad
	// line takes that long.
	repeatGrace = 3 * time.Second
)

// requestID tells a request from all others of its session, except from its own repeats.
type requestID struct {
	value string // empty if the request can't be recognized
	conn  string // the connection that it came over, for clients of which it is known that they repeat on another
}

// newRequestID returns what identifies a request with the query parameter t.
func newRequestID(r *http.Request, t string) requestID {
	if len(t) > maxRequestID || strings.Trim(t, "0123456789") == "" {
		return requestID{}
	}
	id := requestID{value: strings.Clone(t)} // not the whole URL
	// A direct client repeats on a new connection. Behind a proxy, connections say nothing: its address has no port
	// then, or, if the proxy isn't a trusted one, what is known is that browsers run the stock client.
	_, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil && !strings.HasPrefix(r.UserAgent(), "Mozilla/") {
		id.conn = r.RemoteAddr
	}
	return id
}

// known reports whether repeats of the request can be recognized.
func (id requestID) known() bool { return id.value != "" }

func (id requestID) repeats(earlier requestID) bool { return id.known() && id.value == earlier.value }

// recognize returns id, or an unknown one if the client is known to reuse values. earlier is the last request of the
// same method, which has come again so many times; other is the last one of the other method. The caller holds Conn.mu.
func (p *polling) recognize(id, earlier requestID, times int, other requestID) requestID {
	switch {
	case !id.known():
	case id.value == p.handshake, id.repeats(other):
		p.reused = true
	case p.isPast(id) && p.lateCopies >= maxRepeats:
		p.reused = true
	case id.repeats(earlier) && (times >= maxRepeats || id.conn != "" && id.conn == earlier.conn):
		p.reused = true
	}
	if p.reused {
		return requestID{}
	}
	return id
}

// pastIDs holds the values of requests before the last ones: a ring.
type pastIDs struct {
	values [maxPast]string
	next   int
}

// retire remembers the last request of a method when the next one comes. The caller holds Conn.mu.
func (p *polling) retire(id requestID) {
	if id.known() {
		p.past.values[p.past.next%maxPast] = id.value
		p.past.next++
	}
}

func (p *polling) isPast(id requestID) bool {
	return id.known() && slices.Contains(p.past.values[:], id.value)
}

// absent is a request that has failed and whose repeat is awaited.
type absent struct {
	until time.Time // zero if there is none
	cause error
}

// await has the session end at the end of repeatGrace, unless the failed request comes again. The caller holds mu.
func (c *Conn) await(a *absent, cause error) {
	a.until, a.cause = time.Now().Add(repeatGrace), cause
	c.arm()
}

// earliest returns when the session ends if nothing comes; zero if it doesn't.
func (p *polling) earliest() time.Time { return earlier(p.absentPoll.until, p.absentPost.until) }

// overdue returns why the session ends at now; nil if it doesn't.
func (p *polling) overdue(now time.Time) error {
	for _, a := range [...]absent{p.absentPoll, p.absentPost} {
		if passed(a.until, now) {
			return a.cause
		}
	}
	return nil
}
