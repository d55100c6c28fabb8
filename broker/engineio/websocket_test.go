package engineio

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

func TestWebSocketHandshake(t *testing.T) {
	s := start(t, func(o *Options) { o.PingInterval, o.PingTimeout = 7*time.Second, 5*time.Second })
	c := &client{t: t, s: s}
	c.ws = c.socket("EIO=4&transport=websocket")
	h := c.open(c.read())
	if len(h.SID) < 22 || h.Upgrades == nil || len(h.Upgrades) != 0 || h.PingInterval != 7000 || h.PingTimeout != 5000 || h.MaxPayload != 1_000_000 {
		t.Errorf("handshake %+v", h)
	}
	ses := s.session(t)
	if got := ses.id; got != h.SID {
		t.Errorf("id %q, want %q", got, h.SID)
	}
	if name := ses.Transport(); name != "websocket" {
		t.Errorf("transport %q", name)
	}
}

func TestWebSocketMessages(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	c.write("4hello")
	ses.wantData(t, "hello")
	if err := c.ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	ses.wantData(t, "\x01\x02\x03")
	big := strings.Repeat("x", 300_000)
	c.write("4" + big)
	ses.wantData(t, big)

	for i := range 100 {
		if r := ses.Send(text(fmt.Sprint("2", i)), false); r != Queued {
			t.Fatalf("send %d: %+v", i, r)
		}
	}
	for i := range 100 {
		c.want(fmt.Sprint("42", i))
	}
	ses.Send(NewFrame([]byte("51-[{}]"), []byte{4, 5}), false)
	c.want("451-[{}]")
	c.want("b:\x04\x05")
	ses.Send(text(big), false)
	c.want("4" + big)
}

// A client's message right after its handshake, even in the same TCP segment, is delivered.
func TestFirstMessageIsDelivered(t *testing.T) {
	s := start(t)
	for range 200 {
		c := &client{t: t, s: s}
		c.ws = c.socket("EIO=4&transport=websocket")
		c.write("40")
		s.session(t).wantData(t, "0")
		_ = c.ws.Close()
	}
}

// What net/http has read along with the handshake request is not lost.
func TestEarlyMessageIsDelivered(t *testing.T) {
	s := start(t)
	nc, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	request := "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n" +
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := nc.Write(append([]byte(request), masked(true, ws.OpText, "40")...)); err != nil {
		t.Fatal(err)
	}
	s.session(t).wantData(t, "0")
	response, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("%v %v", response, err)
	}
}

func TestGracefulCloseOverWebSocket(t *testing.T) {
	s := start(t)
	c, ses := s.dial(t)
	big := strings.Repeat("x", 200_000)
	for i := range 4 {
		ses.Send(text(fmt.Sprint(i, big)), false)
	}
	if r := ses.sendAndClose(text("1"), ReasonForcedClose); r != Queued {
		t.Fatal(r)
	}
	if r := ses.Send(text("late"), false); r != DropClosed {
		t.Errorf("send after close: %+v", r)
	}
	for i := range 4 {
		c.want(fmt.Sprint("4", i, big))
	}
	c.want("41")
	c.wantClosed(websocket.CloseNormalClosure)
	ses.wantClose(t, ReasonForcedClose)
}

func TestClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(*client){
		"close frame": func(c *client) {
			message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			_ = c.ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(patience))
			c.wantClosed(websocket.CloseNormalClosure)
		},
		"close packet": func(c *client) {
			c.write("1")
			c.wantClosed(websocket.CloseNormalClosure)
		},
		"end of stream": func(c *client) { _ = c.ws.NetConn().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c, ses := s.dial(t)
			leave(c)
			ses.wantClose(t, ReasonTransportClose)
			eventually(t, "the session is forgotten", func() bool { return len(s.all()) == 0 })
		})
	}
}

func TestWebSocketPing(t *testing.T) {
	s := start(t)
	c, _ := s.dial(t)
	pong := make(chan string, 1)
	c.ws.SetPongHandler(func(data string) error { pong <- data; return fmt.Errorf("stop") })
	_ = c.ws.WriteControl(websocket.PingMessage, []byte("hi"), time.Now().Add(patience))
	_, _, _ = c.ws.ReadMessage()
	if got := <-pong; got != "hi" {
		t.Errorf("pong %q", got)
	}
}
