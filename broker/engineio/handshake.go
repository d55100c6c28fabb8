package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// serveHandshake opens a connection, over WebSocket if the request is an upgrade, unless the server
// drains or Admission refuses.
func (s *Server) serveHandshake(w http.ResponseWriter, r *http.Request, upgrade bool, id requestID) {
	admitted := s.admit()
	if !admitted {
		shuttingDown.write(w)
		return
	}
	admitted = s.opts.Admission.Admit(w, r)
	switch {
	case !admitted:
		s.release()
	case upgrade:
		s.openWebSocket(w, r)
	default:
		s.openPolling(w, r, id)
	}
}

// abandon is release for a connection that was admitted and can't be opened.
func (s *Server) abandon(r *http.Request) {
	s.opts.Admission.Abandon(r)
	s.release()
}

// openWebSocket opens an admitted connection over WebSocket.
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
	c.setLink(l)
	added := s.add(c)
	if !added {
		l.close(true)
		reader.close()
		s.abandon(r)
		return
	}
	s.open(c, r)
	s.reading.start(c, reader) // not on this goroutine: its stack refers to net/http's buffers
}

// openPolling opens an admitted connection over long-polling.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request, id requestID) {
	c := s.newConn(r)
	c.poll = newPolling(id)
	c.out.push(s.openFrame(c.id, transportWebSocket), 0)
	// Until the handler knows the connection, nothing is delivered and it can't finish.
	delivery := c.poll.delivery
	delivery <- struct{}{}
	added := s.add(c)
	if !added {
		s.abandon(r)
		shuttingDown.write(w)
		return
	}
	s.opts.Traffic.polls(1) // terminate or switchTo takes it back
	s.open(c, r)
	<-delivery
	c.servePoll(w, r, requestID{}) // a repeat can't know the session id, and opens another session
}

// newConn returns a connection without a transport.
func (s *Server) newConn(r *http.Request) *Conn {
	c := &Conn{
		server: s,
		id:     newSessionID(s.opts.SessionPrefix),
		remote: r.RemoteAddr,
	}
	c.deadlines.heartbeat = s.uptime() + s.opts.PingInterval
	return c
}

// newSessionID returns prefix and 144 random bits. Whoever knows the id of a session can take it over.
func newSessionID(prefix string) string {
	var secret [18]byte
	_, _ = rand.Read(secret[:]) // never fails
	var room [64]byte
	return string(base64.RawURLEncoding.AppendEncode(append(room[:0], prefix...), secret[:]))
}

// open tells the handler about c. What the handler sends goes out after the open packet.
func (s *Server) open(c *Conn, r *http.Request) {
	s.opts.Observer.ConnOpened()
	receiver := s.handler.Open(c, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receiver = receiver
	c.arm()
}

// openFrame returns the packet that answers a handshake.
func (s *Server) openFrame(sid string, upgrades ...string) *Frame {
	handshake, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"` // milliseconds
		PingTimeout  int64    `json:"pingTimeout"`  // milliseconds
		MaxPayload   int64    `json:"maxPayload"`
	}{
		SID:          sid,
		Upgrades:     append([]string{}, upgrades...), // [] rather than null
		PingInterval: s.opts.PingInterval.Milliseconds(),
		PingTimeout:  s.opts.PingTimeout.Milliseconds(),
		MaxPayload:   s.opts.MaxPayload,
	})
	if err != nil { // can't happen: it has only strings and numbers
		s.opts.Logger.Error("engineio: encoding the handshake", "error", err)
	}
	return newPacketFrame(packetOpen, handshake)
}

// wantsBase64 reports whether the client can't read binary WebSocket frames. The stock client sends
// b64 if it has forceBase64, and the JavaScript server reads it in the same way.
func wantsBase64(r *http.Request) bool {
	return strings.Contains(r.URL.RawQuery, "b64") && r.URL.Query().Get("b64") != ""
}

// refuseAccept answers a WebSocket handshake that accept has failed, if that is still possible.
func (s *Server) refuseAccept(w http.ResponseWriter, err error) {
	if errors.Is(err, errNoHijack) {
		badRequest.write(w)
		s.opts.Logger.Error("engineio: websocket handshake", "error", err)
		return
	}
	s.opts.Logger.Debug("engineio: websocket handshake", "error", err)
}
