package engineio

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// patience is how long a test waits for something that should happen at once.
const patience = time.Minute

// event is a call of the receiver: "text", "binary" or "close".
type event struct {
	name  string
	value string
}

// session is a connection as the layer above sees it.
type session struct {
	*Conn
	events chan event
	hook   atomic.Pointer[func(event)] // called after each event

	confirmed atomic.Uint64 // the last position that the client has confirmed
	pauses    atomic.Int64
}

func (s *session) Text(message []byte)           { s.tell(event{"text", string(message)}) }
func (s *session) Binary(message []byte)         { s.tell(event{"binary", string(message)}) }
func (s *session) Confirmed(position uint64)     { s.confirmed.Store(position) }
func (s *session) Paused()                       { s.pauses.Add(1) }
func (s *session) Closed(reason Reason, _ error) { s.tell(event{"close", string(reason)}) }
func (s *session) onEvent(call func(event))      { s.hook.Store(&call) }
func (s *session) tell(e event) {
	s.events <- e
	if call := s.hook.Load(); call != nil {
		(*call)(e)
	}
}

func (s *session) takesMessages() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writable()
}

func (s *session) upgrading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probing
}

func (s *session) overWebSocket() bool { return s.Transport() == transportWebSocket }

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen
}

// sendAndClose sends a last message and closes the connection gracefully.
func (s *session) sendAndClose(f *Frame, reason Reason) DropReason {
	defer s.CloseAfterFlush(reason)
	return s.Send(f, false)
}

// cut ends the connection at once, as a failure would.
func (s *session) cut() { s.terminate(ReasonForcedClose, nil) }

// next returns the next event.
func (s *session) next(t *testing.T) event {
	t.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(patience):
		t.Fatal("no event")
		return event{}
	}
}

func (s *session) wantData(t *testing.T, want string) {
	t.Helper()
	if e := s.next(t); e.name == "close" || e.value != want {
		t.Fatalf("event %s %q, want the message %q", e.name, e.value, want)
	}
}

// wantSilence checks that no event comes for a moment that is long enough to notice a mistake.
func (s *session) wantSilence(t *testing.T) {
	t.Helper()
	select {
	case e := <-s.events:
		t.Errorf("event too early: %+v", e)
	case <-time.After(50 * time.Millisecond):
	}
}

func (s *session) wantClose(t *testing.T, want Reason) {
	t.Helper()
	for {
		e := s.next(t)
		if e.name != "close" {
			continue
		}
		if e.value != string(want) {
			t.Fatalf("closed: %v, want %v", e.value, want)
		}
		return
	}
}

// tally is an Observer that counts.
type tally struct {
	mu       sync.Mutex
	opened   int
	closed   map[Reason]int
	dropped  map[DropReason]int
	replaced int
}

func newTally() *tally {
	return &tally{closed: map[Reason]int{}, dropped: map[DropReason]int{}}
}

func (o *tally) ConnOpened() { o.mu.Lock(); o.opened++; o.mu.Unlock() }

func (o *tally) ConnClosed(r Reason) { o.mu.Lock(); o.closed[r]++; o.mu.Unlock() }

func (o *tally) FramesDropped(r DropReason, n int) { o.mu.Lock(); o.dropped[r] += n; o.mu.Unlock() }

func (o *tally) FramesReplaced(n int) { o.mu.Lock(); o.replaced += n; o.mu.Unlock() }

func (o *tally) drops(r DropReason) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped[r]
}

// server is a Server with its own listener.
type server struct {
	*Server
	http     *httptest.Server
	sessions chan *session
}

// starter starts a Server as start does.
type starter func(t *testing.T, options ...func(*Options)) *server

// start serves a Server until the test ends. Each option changes the defaults.
func start(t *testing.T, options ...func(*Options)) *server {
	t.Helper()
	return startOver(t, nil, options...)
}

// overAll runs a test over plain sockets and over each version of TLS.
func overAll(t *testing.T, test func(t *testing.T, start starter)) {
	t.Run("plain", func(t *testing.T) { test(t, start) })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			test(t, func(t *testing.T, options ...func(*Options)) *server {
				t.Helper()
				return startOver(t, &tls.Config{MaxVersion: version}, options...)
			})
		})
	}
}

// startOver is start, over TLS if config isn't nil.
func startOver(t *testing.T, config *tls.Config, options ...func(*Options)) *server {
	t.Helper()
	var opts Options
	for _, change := range options {
		change(&opts)
	}
	s := &server{sessions: make(chan *session, 1000)}
	s.Server = New(s, opts)
	s.direct = ownsDescriptors && !throughNet
	s.http = newHTTPServer(s.Server, config)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		_ = s.Shutdown(ctx) // cuts what the test has left
		s.http.Close()
	})
	return s
}

// newHTTPServer serves h, over TLS if config isn't nil, on a listener that wrap returns.
func newHTTPServer(
	h http.Handler, config *tls.Config, wrap ...func(net.Listener) net.Listener,
) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	for _, wrapped := range wrap {
		s.Listener = wrapped(s.Listener)
	}
	if config == nil {
		s.Start()
		return s
	}
	// Handshakes that are reset would be logged.
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = config
	s.Listener = tlsSockets{s.Listener}
	s.StartTLS()
	return s
}

// tlsSockets has httptest serve what TLSServer returns.
type tlsSockets struct{ net.Listener }

func (l tlsSockets) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tlsSocket{Conn: nc}, nil
}

// clientTLS returns how clients connect over TLS.
func clientTLS(s *httptest.Server) *tls.Config {
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	if config != nil {
		config.NextProtos, config.ServerName = nil, "127.0.0.1" // WebSockets need HTTP/1.1
	}
	return config
}

// Open implements [Handler].
func (s *server) Open(c *Conn, _ *http.Request) Receiver {
	ses := &session{Conn: c, events: make(chan event, 10000)}
	s.sessions <- ses
	return ses
}

func (s *server) session(t *testing.T) *session {
	t.Helper()
	select {
	case ses := <-s.sessions:
		return ses
	case <-time.After(patience):
		t.Fatal("no connection")
		return nil
	}
}

func (s *server) url(scheme, query string) string {
	return scheme + strings.TrimPrefix(s.http.URL, "http") + "/socket.io/?" + query
}

// client is a client's side of a connection.
type client struct {
	t    *testing.T
	s    *server
	http *http.Client
	sid  string
	ws   *websocket.Conn
}

type handshake struct {
	SID          string
	Upgrades     []string
	PingInterval int64
	PingTimeout  int64
	MaxPayload   int64
}

// dial opens a connection over WebSocket.
func (s *server) dial(t *testing.T) (*client, *session) {
	t.Helper()
	c := &client{t: t, s: s}
	c.ws = c.socket("EIO=4&transport=websocket")
	c.sid = c.open(c.read()).SID
	return c, s.session(t)
}

func (c *client) socket(query string) *websocket.Conn {
	c.t.Helper()
	dialer := websocket.Dialer{TLSClientConfig: clientTLS(c.s.http)}
	ws, response, err := dialer.DialContext(c.t.Context(), c.s.url("ws", query), nil)
	if err != nil {
		c.t.Fatalf("dial: %v (%v)", err, response)
	}
	c.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return ws
}

func (c *client) open(packet string) handshake {
	c.t.Helper()
	var h handshake
	if packet == "" || packet[0] != '0' {
		c.t.Fatalf("no open packet: %q", packet)
	}
	if err := json.Unmarshal([]byte(packet[1:]), &h); err != nil {
		c.t.Fatal(err)
	}
	return h
}

// poller opens a connection over long-polling.
func (s *server) poller(t *testing.T) (*client, *session) {
	t.Helper()
	c := &client{t: t, s: s, http: s.http.Client()}
	status, body := c.do(http.MethodGet, "EIO=4&transport=polling", "")
	if status != http.StatusOK {
		t.Fatalf("handshake: %d %s", status, body)
	}
	first, _, _ := strings.Cut(body, "\x1e")
	c.sid = c.open(first).SID
	return c, s.session(t)
}

func (c *client) do(method, query, body string) (int, string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.s.url("http", query), strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	response, err := c.s.http.Client().Do(request)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, query, err)
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, query, err)
	}
	return response.StatusCode, string(content)
}

func (c *client) query() string { return "EIO=4&transport=polling&sid=" + url.QueryEscape(c.sid) }

func (c *client) poll() (int, string) {
	c.t.Helper()
	return c.do(http.MethodGet, c.query(), "")
}

func (c *client) post(payload string) (int, string) {
	c.t.Helper()
	return c.do(http.MethodPost, c.query(), payload)
}

func (c *client) wantPoll(want string) {
	c.t.Helper()
	if status, body := c.poll(); status != http.StatusOK || body != want {
		c.t.Fatalf("poll: %d %q, want %q", status, body, want)
	}
}

// gone is the answer to a poll for an unknown session.
const gone = `{"code":1,"message":"Session ID unknown"}` + "\n"

func (c *client) wantGone() {
	c.t.Helper()
	if status, body := c.poll(); status != http.StatusBadRequest || body != gone {
		c.t.Fatalf("poll: %d %q, want %q", status, body, gone)
	}
}

// read returns the next text message; a binary one is prefixed by "b:".
func (c *client) read() string {
	c.t.Helper()
	kind, data, err := c.ws.ReadMessage()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if kind == websocket.BinaryMessage {
		return "b:" + string(data)
	}
	return string(data)
}

func (c *client) want(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Fatalf("read %q, want %q", got, want)
	}
}

func (c *client) wantClosed(code int) {
	c.t.Helper()
	_, data, err := c.ws.ReadMessage()
	if !websocket.IsCloseError(err, code) {
		c.t.Fatalf("read %q, %v; want close %d", data, err, code)
	}
}

func (c *client) write(message string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func text(s string) *Frame { return NewFrame([]byte(s)) }

// eventually waits for a condition that no event announces.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
