package engineio

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPollingMessages(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	if status, body := c.post("4one\x1e4two\x1ebAQID"); status != 200 || body != "ok" {
		t.Fatalf("post: %d %q", status, body)
	}
	for _, want := range []string{"one", "two", "\x01\x02\x03"} {
		ses.wantData(t, want)
	}
	ses.Send(text("2a"), false)
	ses.Send(NewFrame([]byte("51-[{}]"), []byte{4, 5}), false)
	c.wantPoll("42a\x1e451-[{}]\x1ebBAU=")

	answered := make(chan string)
	go func() {
		_, body := c.poll()
		answered <- body
	}()
	eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
	if r := ses.Send(text("2b"), true); r != Queued {
		t.Errorf("volatile to a pending poll: %+v", r)
	}
	if got := <-answered; got != "42b" {
		t.Errorf("poll %q", got)
	}
	if r := ses.Send(text("2c"), true); r != DropNotWritable {
		t.Errorf("volatile without a poll: %+v", r)
	}
}

func TestPollRespectsMaxPayload(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxPayload = 1000 })
	c, ses := s.poller(t)
	for range 5 {
		ses.Send(text(strings.Repeat("x", 400)), false)
	}
	for _, want := range []int{2, 2, 1} {
		_, body := c.poll()
		if got := strings.Count(body, "4x"); got != want {
			t.Errorf("%d messages in a poll, want %d", got, want)
		}
	}
}

func TestOverlappingPolls(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	first := make(chan string)
	go func() {
		status, body := c.poll()
		first <- fmt.Sprint(status, body)
	}()
	eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
	if status, body := c.poll(); status != http.StatusBadRequest || !strings.Contains(body, `"code":3`) {
		t.Errorf("second poll: %d %q", status, body)
	}
	if got := <-first; got != "2001" {
		t.Errorf("first poll: %q", got)
	}
	ses.wantClose(t, ReasonTransportError)
	if status, body := c.poll(); status != http.StatusBadRequest || !strings.Contains(body, `"code":1`) {
		t.Errorf("poll after close: %d %q", status, body)
	}
}

func TestPollAbortedByClient(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("http", c.query()), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			t.Error("an aborted poll was answered")
		}
	}()
	eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
	cancel()
	<-ended
	ses.wantClose(t, ReasonTransportError)
}

func TestGracefulCloseOverPolling(t *testing.T) {
	t.Run("poll pending", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		answered := make(chan string)
		go func() {
			_, body := c.poll()
			answered <- body
		}()
		eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
		ses.sendAndClose(text("1"), ReasonForcedClose)
		if got := <-answered; got != "41" {
			t.Errorf("poll %q", got)
		}
		c.wantGone()
		ses.wantClose(t, ReasonForcedClose)
	})
	t.Run("poll comes later", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		ses.Send(text("2a"), false)
		ses.sendAndClose(text("1"), ReasonForcedClose)
		c.wantPoll("42a\x1e41")
		c.wantGone()
		ses.wantClose(t, ReasonForcedClose)
	})
	t.Run("poll never comes", func(t *testing.T) {
		tally := newTally()
		s := start(t, func(o *Options) { o.WriteTimeout, o.Observer = 20e6, tally })
		_, ses := s.poller(t)
		ses.sendAndClose(text("1"), ReasonForcedClose)
		ses.wantClose(t, ReasonForcedClose)
		if n := tally.drops(DropUndelivered); n != 1 {
			t.Errorf("%d undelivered", n)
		}
	})
}

func TestPollingClientLeaves(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	answered := make(chan string)
	go func() {
		_, body := c.poll()
		answered <- body
	}()
	eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
	if status, body := c.post("4bye\x1e1\x1e4ignored"); status != 200 || body != "ok" {
		t.Errorf("post: %d %q", status, body)
	}
	if got := <-answered; got != "6" {
		t.Errorf("poll %q", got)
	}
	ses.wantData(t, "bye")
	ses.wantClose(t, ReasonTransportClose)
}

func TestBadPosts(t *testing.T) {
	tests := map[string]struct {
		payload string
		status  int
		reason  Reason
	}{
		"unknown type":    {"abc", 400, ReasonParseError},
		"empty":           {"", 400, ReasonParseError},
		"empty packet":    {"4a\x1e", 400, ReasonParseError},
		"bad base64":      {"b!!!!", 400, ReasonParseError},
		"bad UTF-8":       {"4\xff", 400, ReasonParseError},
		"too many":        {strings.Repeat("6\x1e", maxPayloadPackets) + "6", 400, ReasonParseError},
		"ping by client":  {"2", 400, ReasonTransportError},
		"one byte longer": {"4" + strings.Repeat("x", 40_000), 413, ReasonMessageTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(o *Options) { o.MaxPayload, o.OversizeHandshake = 39_000, 1000 })
			c, ses := s.poller(t)
			if status, body := c.post(test.payload); status != test.status {
				t.Errorf("post: %d %q, want %d", status, body, test.status)
			}
			ses.wantClose(t, test.reason)
		})
	}
	t.Run("at the limit", func(t *testing.T) {
		s := start(t, func(o *Options) { o.MaxPayload, o.OversizeHandshake = 39_000, 1000 })
		c, ses := s.poller(t)
		long := strings.Repeat("x", 39_999)
		if status, body := c.post("4" + long); status != 200 {
			t.Errorf("post: %d %q", status, body)
		}
		ses.wantData(t, long)
	})
}

// Bodies may come without a length. A compressed body isn't decompressed.
func TestUnannouncedBodies(t *testing.T) {
	packed := &strings.Builder{}
	zip := gzip.NewWriter(packed)
	_, _ = io.WriteString(zip, strings.Repeat("4x\x1e", 1_000_000))
	_ = zip.Close()
	for name, test := range map[string]struct {
		body     string
		encoding string
		status   int
		reason   Reason // empty if the session goes on
	}{
		"at the limit":    {"4" + strings.Repeat("x", 39_999), "", 200, ""},
		"one byte longer": {"4" + strings.Repeat("x", 40_000), "", 413, ReasonMessageTooLarge},
		"endless":         {"4" + strings.Repeat("x", 10_000_000), "", 413, ReasonMessageTooLarge},
		"packed":          {packed.String(), "gzip", 400, ReasonParseError},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(o *Options) { o.MaxPayload, o.OversizeHandshake = 39_000, 1000 })
			c, ses := s.poller(t)
			body := struct{ io.Reader }{strings.NewReader(test.body)} // hides how long it is
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.http.URL+"/socket.io/?"+c.query(), body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
			if test.encoding != "" {
				r.Header.Set("Content-Encoding", test.encoding)
			}
			resp, err := s.http.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("post: %s, want %d", resp.Status, test.status)
			}
			if test.reason == "" {
				ses.wantData(t, test.body[1:])
			} else {
				ses.wantClose(t, test.reason)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	s := start(t)
	c, _ := s.poller(t)
	w, _ := s.dial(t)
	tests := []struct {
		method, query string
		code          int
	}{
		{"GET", "EIO=4", 0},
		{"GET", "EIO=4&transport=webtransport", 0},
		{"GET", "EIO=4&transport=polling&sid=unknown", 1},
		{"POST", "EIO=4&transport=polling&sid=unknown", 1},
		{"POST", "EIO=4&transport=polling", 2},
		{"PUT", "EIO=4&transport=polling", 2},
		{"GET", "EIO=4&transport=websocket", 3},
		{"GET", "EIO=4&transport=polling&j=0", 3},
		{"DELETE", c.query(), 3},
		{"GET", "EIO=4&transport=websocket&sid=" + c.sid, 3},
		{"GET", w.query(), 3},
		{"POST", w.query(), 3},
		{"GET", "transport=polling", 5},
		{"GET", "EIO=3&transport=polling", 5},
		{"GET", "EIO=abc&transport=polling", 5},
	}
	for _, test := range tests {
		status, body := c.do(test.method, test.query, "")
		if want := fmt.Sprintf(`{"code":%d,"message":`, test.code); status != 400 || !strings.HasPrefix(body, want) {
			t.Errorf("%s %s: %d %s, want %s", test.method, test.query, status, body, want)
		}
	}
}

// A client with its answer may poll again before the server knows that it is written.
func TestPollRightAfterTheLast(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	const messages = 3000
	go func() {
		for i := range messages {
			ses.Send(text(fmt.Sprint("2", i)), false)
		}
	}()
	answers := make(chan string)
	go func() { // each poll on a connection of its own, so that it needn't wait for the handler of the last
		defer close(answers)
		for n := 0; n < messages; {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Get(s.url("http", c.query()))
			if err != nil {
				t.Error(err)
				return
			}
			body := make([]byte, response.ContentLength)
			_, err = io.ReadFull(response.Body, body) // not to the end: the next poll starts at once
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("poll: %d %s %v", response.StatusCode, body, err)
				return
			}
			defer func() { _ = response.Body.Close() }()
			n += strings.Count(string(body), "\x1e") + 1
			answers <- string(body)
		}
	}()
	next := 0
	for answer := range answers {
		for _, p := range strings.Split(answer, "\x1e") {
			if want := fmt.Sprint("42", next); p != want {
				t.Fatalf("packet %q, want %q", p, want)
			}
			next++
		}
	}
	if next != messages {
		t.Errorf("%d messages", next)
	}
}

// A body that arrives slowly, or never, holds its connection only for WriteTimeout.
func TestSlowPost(t *testing.T) {
	s := start(t, func(o *Options) { o.WriteTimeout = 100 * time.Millisecond })
	c, ses := s.poller(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.http.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	head := "POST /socket.io/?" + c.query() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n4"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection is still open (%v) after %q", err, answer)
	}
	ses.wantClose(t, ReasonTransportError)
}

// net/http keeps no connection for a client that has upgraded to WebSocket.
func TestUpgradeLeavesNoConnectionBehind(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(open) }
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		open[nc] = true
		return &closeTeller{nc, func() { mu.Lock(); delete(open, nc); mu.Unlock() }}, nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	browser := &http.Client{Transport: transport}
	send := func(method, body string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, s.url("http", c.query()), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		content, _ := io.ReadAll(response.Body)
		return string(content)
	}
	polled := make(chan string)
	go func() { polled <- send(http.MethodGet, "") }()
	eventually(t, "the poll is pending", func() bool { return ses.takesMessages() })
	send(http.MethodPost, "4hello")
	ses.wantData(t, "hello")
	c.probeSocket()
	if got := <-polled; got != "6" {
		t.Errorf("poll %q", got)
	}
	c.write("5")
	eventually(t, "upgraded", ses.overWebSocket)
	eventually(t, "nothing is open but the WebSocket", func() bool { return count() == 0 })

	// A client that goes on polling keeps its connection after the first POST.
	c, _ = s.poller(t)
	send(http.MethodPost, "4one")
	send(http.MethodPost, "4two")
	send(http.MethodPost, "4three")
	if n := count(); n != 1 {
		t.Errorf("%d connections are open after posts, want 1", n)
	}
}

// closeTeller closes a channel when a connection is closed.
type closeTeller struct {
	net.Conn
	tell func()
}

func (c *closeTeller) Close() error { c.tell(); return c.Conn.Close() }

// A POST that is on its way when the client learns that the session has ended is accepted for a
// while.
func TestPostAfterTheEnd(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	nc := c.half(http.MethodPost, "", "4x", 1)
	eventually(t, "the post is being read", func() bool {
		ses.mu.Lock()
		defer ses.mu.Unlock()
		return ses.poll.post != nil
	})
	ses.CloseAfterFlush(ReasonForcedClose)
	c.wantGone()
	ses.wantClose(t, ReasonForcedClose)
	if _, err := io.WriteString(nc, "x"); err != nil {
		t.Fatal(err)
	}
	if answer, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the post under way: %v %v", answer, err)
	}
	if status, body := c.post("4x"); status != http.StatusOK || body != "ok" {
		t.Errorf("post: %d %q", status, body)
	}
	c.wantGone()
	ses.wantSilence(t)
	if n := len(s.all()); n != 1 {
		t.Errorf("%d sessions are known", n)
	}
	eventually(t, "the session is forgotten", func() bool { return len(s.all()) == 0 })
	// A client that only leaves loses nothing, but a message would be lost.
	for body, want := range map[string]int{
		"1": http.StatusOK, "3\x1e1": http.StatusOK,
		"3": http.StatusBadRequest, "4x": http.StatusBadRequest, "1\x1e4x": http.StatusBadRequest, "bAA==": http.StatusBadRequest, "9": http.StatusBadRequest, "\xff": http.StatusBadRequest,
		strings.Repeat("3\x1e", 40) + "1": http.StatusBadRequest,
	} {
		if status, _ := c.post(body); status != want {
			t.Errorf("post %q: %d, want %d", body, status, want)
		}
	}
}
