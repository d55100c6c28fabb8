package engineio

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// Clients encode binary messages in every variant of base64.
func TestBase64FromClients(t *testing.T) {
	s := start(t)
	p, polling := s.poller(t)
	w, direct := s.dial(t)
	u, upgraded := s.poller(t)
	u.probeSocket()
	u.write("5")
	eventually(t, "upgraded", upgraded.overWebSocket)
	for name, test := range map[string]struct{ encoded, want string }{
		"padded":                   {"bbBwg/w==", "l\x1c \xff"},
		"unpadded":                 {"bbBwg/w", "l\x1c \xff"},
		"for URLs":                 {"bbBwg_-8=", "l\x1c \xff\xef"},
		"for URLs, unpadded":       {"bbBwg_-8", "l\x1c \xff\xef"},
		"line feed (Android)":      {"bbBwg\n", "l\x1c "},
		"padded, line feed":        {"bbBwg/w==\n", "l\x1c \xff"},
		"carriage return":          {"bbBwg/w==\r\n", "l\x1c \xff"},
		"line feed before padding": {"bbBwg/w\n==\n", "l\x1c \xff"},
		"lines":                    {"bbB\r\nwg/\r\nw==", "l\x1c \xff"},
		"too much padding":         {"bbBwg/w====", "l\x1c \xff"},
		"empty":                    {"b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := p.post("4x\x1e" + test.encoded + "\x1e4y"); status != http.StatusOK {
				t.Fatalf("post: %d %q", status, body)
			}
			polling.wantData(t, "x")
			want := event{"binary", test.want}
			if e := polling.next(t); e != want {
				t.Errorf("over polling: %+v, want %+v", e, want)
			}
			polling.wantData(t, "y")
			w.write(test.encoded)
			if e := direct.next(t); e != want {
				t.Errorf("over WebSocket: %+v, want %+v", e, want)
			}
			u.write(test.encoded)
			if e := upgraded.next(t); e != want {
				t.Errorf("after an upgrade: %+v, want %+v", e, want)
			}
		})
	}
}

func TestBadBase64OverWebSocket(t *testing.T) {
	for _, message := range []string{"b!!!!", "bA", "bA=B=", "bAQ ID"} {
		s := start(t)
		c, ses := s.dial(t)
		c.write(message)
		c.wantClosed(websocket.CloseInvalidFramePayloadData)
		ses.wantClose(t, ReasonParseError)
	}
}

// A client that sends b64 gets binary messages as text, over WebSocket too.
func TestBase64ForClients(t *testing.T) {
	frame := NewFrame([]byte("52-[]"), []byte{1, 2, 3, 4}, []byte(strings.Repeat("\xff", 300)))
	want := []string{"452-[]", "bAQIDBA==", "b" + strings.Repeat("////", 100)}
	s := start(t)
	t.Run("websocket", func(t *testing.T) {
		c := &client{t: t, s: s}
		c.ws = c.socket("EIO=4&transport=websocket&b64=1")
		c.open(c.read())
		ses := s.session(t)
		ses.Send(frame, false)
		ses.Send(text("2x"), false)
		ses.sendAndClose(frame, ReasonForcedClose)
		for _, message := range append(append(want, "42x"), want...) {
			c.want(message)
		}
		c.wantClosed(websocket.CloseNormalClosure)
	})
	t.Run("upgrade", func(t *testing.T) {
		c, ses := s.poller(t)
		c.ws = c.socket("EIO=4&transport=websocket&b64=1&sid=" + c.sid)
		ses.Send(frame, false)
		c.write("2probe")
		c.want("3probe")
		c.wantPoll(strings.Join(want, "\x1e"))
		ses.Send(frame, false)
		c.write("5")
		for _, message := range want {
			c.want(message)
		}
		eventually(t, "an empty queue that costs nothing", func() bool {
			ses.mu.Lock()
			defer ses.mu.Unlock()
			return ses.out.cost == 0
		})
	})
	t.Run("queued before the upgrade", func(t *testing.T) {
		c, ses := s.poller(t)
		ses.Send(frame, false)
		c.ws = c.socket("EIO=4&transport=websocket&b64=1&sid=" + c.sid)
		c.write("5")
		for _, message := range want {
			c.want(message)
		}
	})
	t.Run("others", func(t *testing.T) { // the frame is shared
		c, ses := s.dial(t)
		ses.Send(frame, false)
		c.want("452-[]")
		c.want("b:\x01\x02\x03\x04")
	})
}
