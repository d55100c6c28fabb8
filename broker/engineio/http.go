package engineio

import (
	"io"
	"net/http"
	"strings"

	"github.com/salabroker/sala/broker/realip"
)

// ServeHTTP serves every request of the protocol, whatever its path. The caller has checked the
// origin.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	transport, sid := query.Get("transport"), query.Get("sid")
	upgrade := isWebSocket(r)
	var c *Conn
	if sid != "" {
		c = s.find(sid)
	}
	// HAProxy 2.6 tries a refused handshake on another node. If this node ended its connection, that
	// would cut the other node's answer.
	proxyMayRetry := sid == "" && realip.Forwarded(r)
	if !upgrade && c == nil && !proxyMayRetry {
		s.sendOff(w)
	}
	switch {
	case transport != transportPolling && transport != transportWebSocket:
		unknownTransport.write(w)
	case query.Has("j"):
		unsupportedJSONP.write(w)
	case sid != "" && c == nil:
		served := s.opts.Elsewhere(w, r, sid, upgrade)
		if !served {
			s.serveUnknown(w, r, upgrade)
		}
	case sid == "" && r.Method != http.MethodGet:
		badHandshakeMethod.write(w)
	case upgrade != (transport == transportWebSocket):
		badRequest.write(w)
	case c != nil:
		c.serveHTTP(w, r, upgrade, newRequestID(s.seed, r, query.Get("t")))
	case query.Get("EIO") != engineVersion:
		unsupportedVersion.write(w)
	default:
		s.serveHandshake(w, r, upgrade, newRequestID(s.seed, r, query.Get("t")))
	}
}

// sendOff has the HTTP connection of an answer end if the server drains. Behind a load balancer for
// TCP, a client that kept it would only come back to this node. A client that hasn't been told to go
// keeps its connections, as its session may be unknown where others lead. So does one that has, for its
// posts: python-engineio 4.3 goes on posting what it has queued.
func (s *Server) sendOff(w http.ResponseWriter) {
	if s.isDraining() {
		w.Header().Set("Connection", "close")
	}
}

// maxGoodbyeBytes is more than the POST of a client that leaves has.
const maxGoodbyeBytes = 64

// serveUnknown answers a request for a session that this server doesn't have, because it has ended
// or belongs to another node. A POST that closes the session and has no message succeeds: the
// session is gone, and nothing is lost. python-engineio 4.3 posts its CLOSE to a
// session that has ended while it connects again, and a refusal would end its new session.
func (s *Server) serveUnknown(w http.ResponseWriter, r *http.Request, upgrade bool) {
	refused := unknownSession
	if !upgrade && r.Method == http.MethodPost && r.ContentLength > 0 && r.ContentLength <= maxGoodbyeBytes {
		// If the body can't be read, neither can the answer be delivered.
		body, err := io.ReadAll(io.LimitReader(r.Body, maxGoodbyeBytes))
		if err == nil && isGoodbye(body) {
			refused = accepted
		}
	}
	if refused != accepted {
		refuse(w, r, refused)
		return
	}
	_ = respond(w, "text/html", []byte("ok"), s.opts.WriteTimeout)
}

// refuse refuses a request whose session has ended or ends now, in a way that lets the client come
// back.
func refuse(w http.ResponseWriter, r *http.Request, why refusal) {
	closed := staysAfterRefusal(r) && HangUp(w)
	if !closed {
		why.write(w)
	}
}

// staysAfterRefusal reports whether a client would never connect again if this POST were refused. The
// Python clients wouldn't (python-engineio, up to 4.3 at least). They do if the POST gets no answer at
// all, but a proxy would turn that into a refusal of its own.
func staysAfterRefusal(r *http.Request) bool {
	python := strings.HasPrefix(r.UserAgent(), "python-requests/") || strings.HasPrefix(r.UserAgent(), "Python/")
	return python && r.Method == http.MethodPost && !realip.Forwarded(r)
}

// HangUp closes the connection of a request without an answer. It returns false if it can't.
func HangUp(w http.ResponseWriter) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// isGoodbye reports whether a payload is valid, has no message, and ends with a CLOSE.
func isGoodbye(payload []byte) bool {
	last, messages := byte(0), false
	err := parsePayload(payload, func(p packet) bool {
		last, messages = p.kind, messages || p.kind == packetMessage
		return !messages
	})
	return err == nil && !messages && last == packetClose
}

// serveHTTP serves a request that belongs to c.
func (c *Conn) serveHTTP(w http.ResponseWriter, r *http.Request, upgrade bool, id requestID) {
	switch {
	case upgrade:
		c.serveUpgrade(w, r)
	case r.Method == http.MethodGet:
		c.servePoll(w, r, id)
	case r.Method == http.MethodPost:
		c.servePost(w, r, id)
	default:
		badRequest.write(w)
	}
}
