package engineio

import (
	"io"
	"net/http"
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
	if !upgrade && s.isDraining() {
		// Behind a load balancer for TCP, a client that kept this connection would only come back to
		// this node.
		w.Header().Set("Connection", "close")
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
		refused.write(w)
		return
	}
	_ = respond(w, "text/html", []byte("ok"), s.opts.WriteTimeout)
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
