package engineio

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// probeSocket begins an upgrade and exchanges the probes.
func (c *client) probeSocket() {
	c.t.Helper()
	c.ws = c.socket("EIO=4&transport=websocket&sid=" + c.sid)
	c.write("2probe")
	c.want("3probe")
}

// slowHijacker is a request's connection that is taken over only after something else has
// happened.
type slowHijacker struct {
	http.ResponseWriter
	nc     net.Conn
	before func()
}

func (w *slowHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.before()
	return w.nc, bufio.NewReadWriter(bufio.NewReader(w.nc), bufio.NewWriter(w.nc)), nil
}

// An upgrade may time out while its request is still being accepted. It must not disturb the next
// upgrade, and its WebSocket must be closed, as nobody else would close it.
func TestUpgradeOvertakenByAnother(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	near, far := net.Pipe()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?EIO=4&transport=websocket&sid="+c.sid, nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.ServeHTTP(&slowHijacker{httptest.NewRecorder(), near, func() {
			// The upgrade times out. The heartbeat's deadline only causes a ping.
			ses.onDeadline(ses.server.uptime() + time.Minute)
			c.probeSocket()
		}}, r)
	}()
	_ = far.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadAll(far); err != nil { // the answer, and the end
		t.Errorf("the socket that came too late: %v", err)
	}
	<-served
	c.write("5")
	c.want("2")
	c.write("4hello")
	ses.wantData(t, "hello")
}

// wantNoRoom opens a WebSocket for a session that has one already.
func (c *client) wantNoRoom() {
	c.t.Helper()
	ws := c.socket("EIO=4&transport=websocket&sid=" + c.sid)
	if _, data, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNoStatusReceived) {
		c.t.Errorf("read %q, %v; want it closed", data, err)
	}
}

func TestUpgrade(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	pending := make(chan string)
	go func() {
		_, body := c.poll()
		pending <- body
	}()
	eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
	c.probeSocket()
	if got := <-pending; got != "6" {
		t.Errorf("pending poll %q, want a noop", got)
	}
	if !ses.upgrading() || ses.overWebSocket() {
		t.Error("upgraded too early")
	}
	c.wantNoRoom()              // for a second upgrade
	ses.Send(text("2a"), false) // between the probe and the upgrade
	c.write("5")
	c.write("4hello")
	ses.wantData(t, "hello")
	c.want("42a")
	if ses.upgrading() || !ses.overWebSocket() {
		t.Error("not upgraded")
	}
	c.wantNoRoom()
	if status, _ := c.poll(); status != http.StatusBadRequest {
		t.Errorf("poll after the upgrade: %d", status)
	}
	if status, _ := c.post("4x"); status != http.StatusBadRequest {
		t.Errorf("post after the upgrade: %d", status)
	}
	ses.sendAndClose(text("1"), ReasonForcedClose)
	c.want("41")
	c.wantClosed(websocket.CloseNormalClosure)
	ses.wantClose(t, ReasonForcedClose)
}

// A poll during an upgrade is answered soon, even without messages.
func TestPollDuringUpgrade(t *testing.T) {
	s := start(t)
	c, _ := s.poller(t)
	c.probeSocket()
	c.wantPoll("6") // the nudge that found no poll pending
	c.wantPoll("6") // after noopInterval
}

func TestUpgradeFails(t *testing.T) {
	tests := map[string]func(*client){
		"wrong packet": func(c *client) { c.ws = c.socket("EIO=4&transport=websocket&sid=" + c.sid); c.write("4hello") },
		"binary":       func(c *client) { c.probeSocket(); _ = c.ws.WriteMessage(websocket.BinaryMessage, []byte("5")) },
		"closed":       func(c *client) { c.probeSocket(); _ = c.ws.Close() },
		"too slow":     func(c *client) { c.probeSocket() },
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(o *Options) {
				if name == "too slow" {
					o.UpgradeTimeout = time.Second // in which the last upgrade has to succeed
				}
			})
			c, ses := s.poller(t)
			fail(c)
			eventually(t, "the upgrade is given up", func() bool { return !ses.upgrading() })
			if _, _, err := c.ws.ReadMessage(); err == nil {
				t.Error("the socket is still open")
			}
			ses.Send(text("2a"), false)
			if _, body := c.poll(); body == "6" {
				c.wantPoll("42a")
			} else if body != "42a" {
				t.Errorf("poll %q", body)
			}
			c.probeSocket() // once more, and now it works
			c.write("5")
			eventually(t, "upgraded", ses.overWebSocket)
		})
	}
}

// Messages that are sent without a pause during an upgrade arrive once each and in order, with
// attachments after their header.
func TestUpgradeUnderLoad(t *testing.T) {
	const rounds, messages = 10, 3000
	s := start(t, func(o *Options) { o.MaxQueuedBytes = 16 << 20 })
	for range rounds {
		c, ses := s.poller(t)
		go func() {
			for i := range messages {
				if i%10 == 0 {
					ses.Send(NewFrame(fmt.Appendf(nil, "51-%d", i), fmt.Appendf(nil, "%d", i)), false)
				} else {
					ses.Send(text(fmt.Sprint("2", i)), false)
				}
			}
		}()
		var got []string
		collect := func() {
			if _, body := c.poll(); body != "" && body != "6" {
				got = append(got, strings.Split(body, "\x1e")...)
			}
		}
		collect()
		polled := make(chan struct{})
		go func() { // one poll is under way while the probes are exchanged, as with a real client
			defer close(polled)
			collect()
		}()
		c.probeSocket()
		<-polled
		c.write("5")
		for len(got) < messages+messages/10 {
			got = append(got, c.read())
		}
		checkSequence(t, got, messages)
		_ = c.ws.Close()
	}
}

func checkSequence(t *testing.T, got []string, messages int) {
	t.Helper()
	at := 0
	expect := func(want ...string) {
		for _, w := range want {
			if got[at] == w {
				at++
				return
			}
		}
		t.Fatalf("packet %d is %q, want one of %q", at, got[at], want)
	}
	for i := range messages {
		if i%10 == 0 {
			expect(fmt.Sprint("451-", i))
			expect(fmt.Sprint("b:", i), string(NewBinaryFrame(fmt.Append(nil, i)).appendPayload(nil)))
		} else {
			expect(fmt.Sprint("42", i))
		}
	}
}

func TestCloseDuringUpgrade(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	c.probeSocket()
	ses.sendAndClose(text("1"), ReasonForcedClose)
	c.write("5") // the client doesn't know yet
	c.want("41")
	c.wantClosed(websocket.CloseNormalClosure)
	ses.wantClose(t, ReasonForcedClose)
}
