package engineio

import "net/http"

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
		unknownSession.write(w)
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
