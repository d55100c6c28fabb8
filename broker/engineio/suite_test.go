package engineio

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The official tests of the Engine.IO protocol, version 4, where no other test covers them.
func TestProtocolSuite(t *testing.T) {
	echo := func(s *server, t *testing.T) *session {
		t.Helper()
		ses := s.session(t)
		ses.onEvent(func(e event) {
			switch e.name {
			case "text":
				ses.Send(text(e.value), false)
			case "binary":
				ses.Send(NewBinaryFrame([]byte(e.value)), false)
			}
		})
		return ses
	}
	t.Run("handshake over long-polling", func(t *testing.T) {
		s := start(t)
		c := &client{t: t, s: s}
		status, body := c.do(http.MethodGet, "EIO=4&transport=polling", "")
		if h := c.open(body); status != http.StatusOK || h.SID == "" || !slices.Equal(h.Upgrades, []string{"websocket"}) || h.PingInterval != 25_000 || h.PingTimeout != 20_000 || h.MaxPayload != 1_000_000 {
			t.Errorf("%d %+v", status, h)
		}
	})
	t.Run("handshake over WebSocket", func(t *testing.T) {
		s := start(t)
		c := &client{t: t, s: s}
		c.ws = c.socket("EIO=4&transport=websocket")
		if h := c.open(c.read()); h.SID == "" || h.Upgrades == nil || len(h.Upgrades) != 0 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("handshakes that are refused", func(t *testing.T) {
		s := start(t)
		c := &client{t: t, s: s}
		for _, query := range []string{"transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"} {
			if status, _ := c.do(http.MethodGet, query, ""); status != http.StatusBadRequest {
				t.Errorf("GET %s: %d", query, status)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			if status, _ := c.do(method, "EIO=4&transport=polling", ""); status != http.StatusBadRequest {
				t.Errorf("%s: %d", method, status)
			}
		}
		for _, query := range []string{"transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"} {
			if _, _, err := websocket.DefaultDialer.DialContext(t.Context(), s.url("ws", query), nil); err == nil {
				t.Errorf("WebSocket %s: accepted", query)
			}
		}
	})
	t.Run("messages over long-polling", func(t *testing.T) {
		s := start(t)
		c := &client{t: t, s: s}
		_, body := c.do(http.MethodGet, "EIO=4&transport=polling", "")
		c.sid = c.open(body).SID
		echo(s, t)
		for _, payload := range []string{"4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA=="} {
			if status, answer := c.post(payload); status != http.StatusOK || answer != "ok" {
				t.Errorf("post %q: %d %q", payload, status, answer)
			}
			c.wantPoll(payload)
		}
	})
	t.Run("an invalid packet closes a long-polling session", func(t *testing.T) {
		s := start(t)
		c, _ := s.poller(t)
		if status, _ := c.post("abc"); status != http.StatusBadRequest {
			t.Errorf("post: %d", status)
		}
		c.wantGone()
	})
	t.Run("a second poll closes the session", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		first := c.pending(ses, "") // t isn't the same
		if status, _ := c.request(http.MethodGet, "burst", ""); status != http.StatusBadRequest {
			t.Errorf("second poll: %d", status)
		}
		if got := <-first; got != "200 1" {
			t.Errorf("first poll: %q", got)
		}
		c.wantGone()
	})
	t.Run("a poll that is given up closes the session", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		reset(c.half(http.MethodGet, "", "", 0))
		ses.wantClose(t, ReasonTransportError)
		c.wantGone()
	})
	t.Run("messages over WebSocket", func(t *testing.T) {
		s := start(t)
		c := &client{t: t, s: s}
		c.ws = c.socket("EIO=4&transport=websocket")
		c.read()
		echo(s, t)
		c.write("4hello")
		c.want("4hello")
		if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3, 4}); err != nil {
			t.Fatal(err)
		}
		c.want("b:\x01\x02\x03\x04")
		c.write("abc")
		c.wantClosed(websocket.CloseInvalidFramePayloadData)
	})
	t.Run("a session without pongs is closed", func(t *testing.T) {
		s := start(t, func(o *Options) { o.PingInterval, o.PingTimeout = 20*time.Millisecond, 20*time.Millisecond })
		p, polling := s.poller(t)
		w, direct := s.dial(t)
		polling.wantClose(t, ReasonPingTimeout)
		p.wantGone()
		direct.wantClose(t, ReasonPingTimeout)
		w.want("2")
		if _, _, err := w.ws.ReadMessage(); err == nil {
			t.Error("the WebSocket is still open")
		}
	})
	t.Run("a client closes its session", func(t *testing.T) {
		s := start(t)
		p, polling := s.poller(t)
		pending := p.pending(polling, "")
		if status, _ := p.post("1"); status != http.StatusOK {
			t.Errorf("post: %d", status)
		}
		if got := <-pending; got != "200 6" {
			t.Errorf("pending poll: %q", got)
		}
		p.wantGone()
		w, _ := s.dial(t)
		w.write("1")
		w.wantClosed(websocket.CloseNormalClosure)
	})
	t.Run("an upgraded session ignores other requests", func(t *testing.T) {
		s := start(t)
		c := &client{t: t, s: s}
		_, body := c.do(http.MethodGet, "EIO=4&transport=polling", "")
		c.sid = c.open(body).SID
		ses := echo(s, t)
		c.probeSocket()
		c.write("5")
		c.write("4hello")
		c.want("4hello")
		if status, _ := c.poll(); status != http.StatusBadRequest || !ses.overWebSocket() {
			t.Errorf("poll: %d", status)
		}
		c.wantNoRoom()
		c.write("4hello again")
		c.want("4hello again")
	})
	t.Run("a WebSocket for no session", func(t *testing.T) {
		s := start(t)
		_, response, err := websocket.DefaultDialer.DialContext(t.Context(), s.url("ws", "EIO=4&transport=websocket&sid=unknown"), nil)
		if err == nil || response.StatusCode != http.StatusBadRequest {
			t.Errorf("%v", err)
		}
	})
}
