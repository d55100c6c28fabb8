package engineio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// neighbour opens a connection that must not notice what others do. The function that it returns
// checks that.
func (s *server) neighbour(t *testing.T) (unharmed func()) {
	t.Helper()
	c, ses := s.dial(t)
	return func() {
		t.Helper()
		c.write("4still here")
		ses.wantData(t, "still here")
		ses.Send(text("2so am I"), false)
		c.want("42so am I")
	}
}

// raw sends bytes over a connection of its own and returns what comes back until the server
// closes it.
func (s *server) raw(t *testing.T, request string) string {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(s.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(patience))
	go func() { // the server may stop reading
		_, _ = io.WriteString(nc, request)
		_ = nc.(*net.TCPConn).CloseWrite()
	}()
	answer, err := io.ReadAll(nc)
	if late, ok := err.(net.Error); ok && late.Timeout() {
		t.Errorf("the connection is still open after %.60q", answer)
	}
	return string(answer) // a reset after it is as good an end
}

// The server refuses what isn't quite HTTP, or a handshake, and never reads it in two ways.
func TestHostileRequests(t *testing.T) {
	const (
		handshake = "/socket.io/?EIO=4&transport=polling"
		upgrade   = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		key       = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		version   = "Sec-WebSocket-Version: 13\r\n"
	)
	s := start(t)
	victim, _ := s.poller(t)
	post := "POST /socket.io/?" + victim.query() + " HTTP/1.1\r\nHost: x\r\n"
	unharmed := s.neighbour(t)
	for name, test := range map[string]struct{ request, want string }{
		"two lengths":              {post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n42x", "HTTP/1.1 400"},
		"length and chunks":        {post + "Content-Length: 6\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\nX", "HTTP/1.1 501"},
		"negative length":          {post + "Content-Length: -1\r\n\r\n", "HTTP/1.1 400"},
		"length with a sign":       {post + "Content-Length: +2\r\n\r\n42", "HTTP/1.1 400"},
		"unknown coding":           {post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "HTTP/1.1 501"},
		"coding behind a tab":      {post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400"},
		"bad chunk":                {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
		"folded header":            {"GET " + handshake + " HTTP/1.1\r\nHost: x\r\n X: y\r\n\r\n", "HTTP/1.1 "},
		"no host":                  {"GET " + handshake + " HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
		"two hosts":                {"GET " + handshake + " HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
		"no HTTP":                  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400"},
		"HTTP/2":                   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 "},
		"absurd query":             {"GET " + handshake + strings.Repeat("&a=b", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 "},
		"absurd URL":               {"GET /" + strings.Repeat("x", 2<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		"bytes that are no query":  {"GET /socket.io/?EIO=4&transport=%zz&sid=%00 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
		"endless sid":              {"GET " + handshake + "&sid=" + strings.Repeat("A", 60_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
		"no WebSocket version":     {upgrade + key + "\r\n", "HTTP/1.1 400"},
		"another version":          {upgrade + key + "Sec-WebSocket-Version: 8\r\n\r\n", "HTTP/1.1 400"},
		"no key":                   {upgrade + version + "\r\n", "HTTP/1.1 400"},
		"short key":                {upgrade + version + "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", "HTTP/1.1 400"},
		"upgrade by POST":          {strings.Replace(upgrade, "GET", "POST", 1) + key + version + "\r\n", "HTTP/1.1 400"},
		"upgrade in HTTP/1.0":      {strings.Replace(upgrade, "1.1", "1.0", 1) + key + version + "\r\n", "HTTP/1.0 400"},
		"garbage behind handshake": {upgrade + key + version + "\r\n" + strings.Repeat("\xff\xfe garbage", 100), "HTTP/1.1 101"},
	} {
		t.Run(name, func(t *testing.T) {
			// Without a word if the server doesn't read to the end: the answer may be lost with the rest.
			if got := s.raw(t, test.request); !strings.HasPrefix(got, test.want) || test.want == "" && strings.Contains(got, " 200 ") {
				t.Errorf("answered %.60q, want %s", got, test.want)
			}
		})
	}
	unharmed()
}

// Requests that arrive together are answered one after the other. None is taken for a part of
// another.
func TestPipelining(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	body := "4GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	post := fmt.Sprintf("POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", c.query(), len(body), body)
	ses.Send(text("2a"), false)
	nc, err := net.Dial("tcp", strings.TrimPrefix(s.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(patience))
	get := "GET /socket.io/?" + c.query() + " HTTP/1.1\r\nHost: x\r\n\r\n"
	if _, err := io.WriteString(nc, get+post); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(nc)
	for _, want := range []string{"42a", "ok"} {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(response.Body); string(got) != want {
			t.Errorf("answered %q, want %q", got, want)
		}
	}
	ses.wantData(t, body[1:])
}

// The server ends floods of fragments, and of frames without a message, which no other limit
// counts.
func TestFloods(t *testing.T) {
	fragments := func(payload string) []byte {
		return bytes.Repeat(masked(false, ws.OpContinuation, payload), 2000)
	}
	for name, test := range map[string]struct {
		before, flood []byte
		reason        Reason
	}{
		"pings":                 {nil, bytes.Repeat(masked(true, ws.OpPing, strings.Repeat("x", 125)), 1000), ReasonTransportError},
		"pongs":                 {nil, bytes.Repeat(masked(true, ws.OpPong, ""), 1000), ReasonTransportError},
		"heartbeats":            {nil, bytes.Repeat(masked(true, ws.OpText, "3"), 1000), ReasonTransportError},
		"fragments of nothing":  {masked(false, ws.OpText, "4"), fragments(""), ReasonTransportError},
		"fragments of one byte": {masked(false, ws.OpText, "4"), fragments("x"), ReasonMessageTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(o *Options) { o.MaxPayload = 50_000 })
			unharmed := s.neighbour(t)
			nc, ses := s.rawClient(t)
			go func() { _, _ = io.Copy(io.Discard, nc) }() // the client does read
			if _, err := nc.Write(test.before); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				if _, err := nc.Write(test.flood); err != nil {
					break // it has been cut
				}
			}
			_ = nc.(*net.TCPConn).CloseWrite()
			ses.wantClose(t, test.reason)
			unharmed()
		})
	}
}

// A client at the limit stays, and later may send as many frames again.
func TestIdleFramesUpToTheLimit(t *testing.T) {
	var r reader
	for i := range maxIdleFrames {
		if err := r.countIdle(); err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
	}
	if r.countIdle() == nil {
		t.Error("there is no limit")
	}
	r.idleSince = r.idleSince.Add(-idleFrameTime)
	if err := r.countIdle(); err != nil {
		t.Errorf("later: %v", err)
	}
}

// Every close frame counts as the client's end.
func TestOddCloseFrames(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing": "", "one byte": "\x03", "no such code": "\x00\x01", "code for nobody": "\x03\xee", "reason isn't UTF-8": "\x03\xe8\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			nc, ses := s.rawClient(t)
			if _, err := nc.Write(masked(true, ws.OpClose, payload)); err != nil {
				t.Fatal(err)
			}
			frames(t, nc)
			ses.wantClose(t, ReasonTransportClose)
		})
	}
}

// Many polls for one session cost the client its session, and the server nothing.
func TestManyPollsForOneSession(t *testing.T) {
	s := start(t)
	unharmed := s.neighbour(t)
	c, ses := s.poller(t)
	var polls sync.WaitGroup
	for range 50 {
		polls.Go(func() { c.poll() })
	}
	ses.wantClose(t, ReasonTransportError)
	polls.Wait()
	unharmed()
}

// A session's posts and polls may race. What they carry stays complete and in order.
func TestPostsRacePolls(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	const rounds = 100
	ses.onEvent(func(e event) {
		if e.name == "text" {
			ses.Send(text("2"+e.value), false)
		}
	})
	var posting sync.WaitGroup
	posting.Go(func() {
		for i := range rounds {
			if status, body := c.post(fmt.Sprint("4", i)); status != http.StatusOK {
				t.Errorf("post %d: %d %s", i, status, body)
			}
		}
	})
	defer posting.Wait()
	next := 0
	for next < rounds {
		_, body := c.poll()
		for _, p := range strings.Split(body, "\x1e") {
			if want := fmt.Sprint("42", next); p != want {
				t.Fatalf("packet %q, want %q", p, want)
			}
			next++
		}
	}
}
