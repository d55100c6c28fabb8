package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

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

// refuseAccept answers if that is still possible after a failed accept.
func (s *Server) refuseAccept(w http.ResponseWriter, err error) {
	if errors.Is(err, errNoHijack) {
		badRequest.write(w)
		s.opts.Logger.Error("engine: websocket handshake", "error", err)
		return
	}
	s.opts.Logger.Debug("engine: websocket handshake", "error", err)
}

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

// wantsBase64 reports whether the client of a request can't read binary WebSocket frames, as the JavaScript server sees
// it: the stock client says so if it has forceBase64.
func wantsBase64(r *http.Request) bool { return r.URL.Query().Get("b64") != "" }

// newConn returns a connection that has no transport yet.
func (s *Server) newConn(r *http.Request) *Conn {
	c := &Conn{
		server: s,
		id:     newSessionID(),
		remote: r.RemoteAddr,
		done:   make(chan struct{}),
	}
	c.deadlines.heartbeat = time.Now().Add(s.opts.PingInterval)
	return c
}

// newSessionID returns 144 random bits: who knows a session's id can take it over.
func newSessionID() string {
	var id [18]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// openFrame is the handshake's answer.
func (s *Server) openFrame(sid string, upgrades ...string) *Frame {
	handshake, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"` // milliseconds
		PingTimeout  int64    `json:"pingTimeout"`  // milliseconds
		MaxPayload   int64    `json:"maxPayload"`
	}{sid, append([]string{}, upgrades...), s.opts.PingInterval.Milliseconds(), s.opts.PingTimeout.Milliseconds(), s.opts.MaxPayload})
	if err != nil {
		s.opts.Logger.Error("engine: encoding the handshake", "error", err) // can't happen: strings and numbers only
	}
	return newPacketFrame(packetOpen, handshake)
}

// abandon is release for a connection that has been admitted and can't be opened.
func (s *Server) abandon(r *http.Request) {
	s.opts.Admission.Abandon(r)
	s.release()
}
