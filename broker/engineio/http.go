package engineio

import (
	"encoding/json"
	"errors"
	"net/http"
)

// refusal is why a request is not served.
type refusal uint8

const (
	accepted refusal = iota
	unknownTransport
	unknownSession
	badHandshakeMethod
	badRequest
	unsupportedVersion
	unsupportedJSONP
	overlap
	lostRequest
	lateCopy
	alreadyUpgrading
	bodyTooLarge
	tooMuchUnfinished
	shuttingDown
)

// answer returns the HTTP status, and the code and message for the body: the JavaScript server's, where it has one.
func (r refusal) answer() (status, code int, message string) {
	switch r {
	case unknownTransport:
		return http.StatusBadRequest, 0, "Transport unknown"
	case unknownSession:
		return http.StatusBadRequest, 1, "Session ID unknown"
	case badHandshakeMethod:
		return http.StatusBadRequest, 2, "Bad handshake method"
	case unsupportedVersion:
		return http.StatusBadRequest, 5, "Unsupported protocol version"
	case unsupportedJSONP:
		return http.StatusBadRequest, 3, "JSONP is not supported"
	case overlap:
		return http.StatusBadRequest, 3, "Overlapping requests"
	case lateCopy:
		return http.StatusBadRequest, 3, "This request has been answered"
	case lostRequest:
		return http.StatusBadRequest, 3, "The last request was lost"
	case bodyTooLarge:
		return http.StatusRequestEntityTooLarge, 3, "Payload too large"
	case tooMuchUnfinished:
		return http.StatusServiceUnavailable, 3, "Too much is being sent at once; try again in a moment"
	case shuttingDown:
		return http.StatusServiceUnavailable, 3, "Server shutting down"
	default:
		return http.StatusBadRequest, 3, "Bad request"
	}
}

func (r refusal) write(w http.ResponseWriter) {
	status, code, message := r.answer()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if r == shuttingDown {
		// HAProxy 2.6 tries a handshake again with another node, and cuts that one's answer if this one ends the connection.
		w.Header().Del("Connection")
	}
	w.WriteHeader(status)
	// If this fails the client is gone, and there is nobody to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, message})
}

// ServeHTTP serves every request of the protocol, whatever its path. The caller has checked the origin already.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	transport, sid := query.Get("transport"), query.Get("sid")
	upgrade := isWebSocket(r)
	var c *Conn
	if sid != "" {
		c = s.find(sid)
	}
	if !upgrade && s.isDraining() {
		// Behind a load balancer of TCP connections, a client that keeps this one would come back to this node only.
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
	case !s.admit():
		shuttingDown.write(w)
	case !s.opts.Admission.Admit(w, r):
		s.release()
	case upgrade:
		s.openWebSocket(w, r)
	default:
		s.openPolling(w, r, newRequestID(s.seed, r, query.Get("t")))
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

// openWebSocket opens a connection, which has been admitted, over WebSocket.
func (s *Server) openWebSocket(w http.ResponseWriter, r *http.Request) {
	key := acceptKey(r)
	if key == "" {
		s.abandon(r)
		badRequest.write(w)
		return
	}
	c := s.newConn(r)
	c.base64 = wantsBase64(r)
	l, reader, err := s.accept(w, c, key, s.openFrame(c.id).wire)
	if err != nil {
		s.abandon(r)
		s.refuseAccept(w, err)
		return
	}
	c.ws = l
	if !s.add(c) {
		l.close(true)
		reader.close()
		s.abandon(r)
		return
	}
	s.open(c, r)
	s.reading.start(c, reader) // not on this goroutine: net/http's buffers hang on its stack
}

// wantsBase64 reports whether the client of a request can't read binary WebSocket frames, as the JavaScript server sees
// it: the stock client says so if it has forceBase64.
func wantsBase64(r *http.Request) bool { return r.URL.Query().Get("b64") != "" }

// openPolling opens a connection, which has been admitted, over long-polling.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request, id requestID) {
	c := s.newConn(r)
	c.poll = newPolling(id)
	c.out.push(s.openFrame(c.id, transportWebSocket))
	c.poll.delivery <- struct{}{}
	if !s.add(c) {
		s.abandon(r)
		shuttingDown.write(w)
		return
	}
	delivery := c.poll.delivery // nothing is delivered, nor the connection finished, before it is announced
	s.open(c, r)
	<-delivery
	c.servePoll(w, r, requestID{}) // a repeat doesn't know the session, and opens another
}

// open announces c. What the handler sends goes out behind the open packet.
func (s *Server) open(c *Conn, r *http.Request) {
	s.opts.Observer.ConnOpened()
	c.receiver = s.handler.Open(c, r)
	c.mu.Lock()
	if c.state != stateClosed { // the server may have been shut down in between
		c.arm()
	}
	c.mu.Unlock()
}

// refuseAccept answers if that is still possible after a failed accept.
func (s *Server) refuseAccept(w http.ResponseWriter, err error) {
	if errors.Is(err, errNoHijack) {
		badRequest.write(w)
		s.opts.Logger.Error("engine: websocket handshake", "error", err)
		return
	}
	s.opts.Logger.Debug("engine: websocket handshake", "error", err)
}
