package engineio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// request sends a request with a value of t over its own connection, as a repeat does.
func (c *client) request(method, t, body string) (int, string) {
	c.t.Helper()
	return c.over(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, method, t, body)
}

// over sends a request with a value of t over the connections of h.
func (c *client) over(h *http.Client, method, t, body string) (int, string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	u := c.s.url("http", c.query()+"&t="+url.QueryEscape(t))
	request, err := http.NewRequestWithContext(ctx, method, u, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	response, err := h.Do(request)
	if err != nil {
		c.t.Errorf("%s: %v", method, err)
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Errorf("%s: %v", method, err)
	}
	return response.StatusCode, string(content)
}

// wantAnswer polls with a value of t.
func (c *client) wantAnswer(t, want string) {
	c.t.Helper()
	if status, body := c.request(http.MethodGet, t, ""); status != http.StatusOK || body != want {
		c.t.Fatalf("poll %s: %d %q, want %q", t, status, body, want)
	}
}

// wantPosted posts with a value of t.
func (c *client) wantPosted(t, payload string) {
	c.t.Helper()
	if status, body := c.request(http.MethodPost, t, payload); status != http.StatusOK || body != "ok" {
		c.t.Fatalf("post %s %q: %d %q", t, payload, status, body)
	}
}

// pending polls in the background. It returns once the poll, or one more copy of it, is pending.
func (c *client) pending(ses *session, t string) <-chan string {
	c.t.Helper()
	before := ses.copies()
	answered := make(chan string, 1)
	go func() {
		status, body := c.request(http.MethodGet, t, "")
		answered <- fmt.Sprint(status, " ", body)
	}()
	eventually(c.t, "the poll is pending", func() bool { return ses.copies() > before })
	return answered
}

// half sends a request up to some point of its body. The test closes the connection.
func (c *client) half(method, t, body string, sent int) net.Conn {
	c.t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(c.s.http.URL, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = nc.Close() })
	head := fmt.Sprintf("%s /socket.io/?%s&t=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", method, c.query(), t, len(body))
	if _, err := io.WriteString(nc, head+body[:sent]); err != nil {
		c.t.Fatal(err)
	}
	return nc
}

// reset closes a connection with a TCP reset.
func reset(nc net.Conn) {
	_ = nc.(*net.TCPConn).SetLinger(0)
	_ = nc.Close()
}

// copies returns how many copies of the pending poll wait.
func (s *session) copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll == nil || s.poll.pending == nil {
		return 0
	}
	return s.poll.pending.copies
}

func (s *session) awaitedPoll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && s.poll.awaitedPoll.until != 0
}

func (s *session) awaitedPost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && s.poll.awaitedPost.until != 0
}

func TestRepeatedPoll(t *testing.T) {
	t.Run("pending", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		copies := []<-chan string{c.pending(ses, "a"), c.pending(ses, "a"), c.pending(ses, "a")}
		ses.Send(text("2x"), false)
		for i, answered := range copies { // whichever of them the client still waits for
			if got := <-answered; got != "200 42x" {
				t.Errorf("copy %d: %q", i, got)
			}
		}
		ses.Send(text("2y"), false)
		c.wantAnswer("b", "42y")
	})
	t.Run("pending, first copy read after its repeat", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		alive := c.pending(ses, "a")
		first := c.half(http.MethodGet, "a", "", 0)
		eventually(t, "both copies are pending", func() bool { return ses.copies() == 2 })
		reset(first)
		eventually(t, "the server knows that one is dead", func() bool { return ses.copies() == 1 })
		ses.Send(text("2x"), false)
		if got := <-alive; got != "200 42x" {
			t.Errorf("the repeat: %q", got)
		}
		ses.Send(text("2y"), false)
		c.wantAnswer("b", "42y")
	})
	t.Run("too many copies while pending", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		var copies []<-chan string
		for range maxRepeats + 1 {
			copies = append(copies, c.pending(ses, "a"))
		}
		if status, _ := c.request(http.MethodGet, "a", ""); status != http.StatusBadRequest {
			t.Errorf("one copy more: %d", status)
		}
		for i, answered := range copies {
			if got := <-answered; got != "200 1" {
				t.Errorf("copy %d: %q", i, got)
			}
		}
		ses.wantClose(t, ReasonTransportError)
	})
	t.Run("reset while pending", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		reset(c.half(http.MethodGet, "a", "", 0))
		eventually(t, "the server knows", ses.awaitedPoll)
		ses.Send(text("2x"), false)
		c.wantAnswer("a", "42x")
		ses.Send(text("2y"), false)
		c.wantAnswer("b", "42y")
	})
	t.Run("given up", func(t *testing.T) { // nothing was answered, so nothing is lost
		s := start(t)
		c, ses := s.poller(t)
		reset(c.half(http.MethodGet, "a", "", 0))
		eventually(t, "the server knows", ses.awaitedPoll)
		ses.Send(text("2x"), false)
		c.wantAnswer("b", "42x")
	})
	t.Run("while answering", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		reached, release := s.gated(t)
		ses.Send(text("2x"), false)
		answered := make(chan string)
		go func() {
			_, body := c.request(http.MethodGet, "a", "")
			answered <- body
		}()
		<-reached
		ses.Send(text("2y"), false)
		c.wantAnswer("a", "42x")
		c.wantAnswer("b", "42y") // although the first copy is still being answered
		close(release)
		if got := <-answered; got != "42x" {
			t.Errorf("the first copy: %q", got)
		}
		ses.Send(text("2z"), false)
		c.wantAnswer("c", "42z")
	})
	t.Run("answered", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		ses.Send(NewFrame([]byte("51-x"), []byte{1}), false)
		for range 3 {
			c.wantAnswer("a", "451-x\x1ebAQ==")
			ses.Send(text("2y"), false) // is not for a
		}
		c.wantAnswer("b", "42y\x1e42y\x1e42y")
	})
	t.Run("answer not written", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		fails := s.failing(t)
		ses.Send(text("2x"), false)
		fails.Store(true)
		c.half(http.MethodGet, "a", "", 0)
		eventually(t, "the server knows", ses.awaitedPoll)
		fails.Store(false)
		ses.Send(text("2y"), false)
		c.wantAnswer("a", "42x")
		c.wantAnswer("b", "42y")
	})
	t.Run("answer lost", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		fails := s.failing(t)
		ses.Send(text("2x"), false)
		fails.Store(true)
		c.half(http.MethodGet, "a", "", 0)
		eventually(t, "the server knows", ses.awaitedPoll)
		fails.Store(false)
		if status, _ := c.request(http.MethodGet, "b", ""); status != http.StatusBadRequest {
			t.Errorf("a poll that pretends to have the answer: %d", status)
		}
		ses.wantClose(t, ReasonTransportError)
	})
	t.Run("while closing", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		ses.sendAndClose(text("2x"), ReasonForcedClose)
		c.wantAnswer("a", "42x")
		c.wantAnswer("a", "42x")
		c.wantGone()
		ses.wantClose(t, ReasonForcedClose)
		c.wantGone()
	})
	t.Run("another while pending", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		first := c.pending(ses, "a")
		if status, _ := c.request(http.MethodGet, "b", ""); status != http.StatusBadRequest {
			t.Errorf("an overlapping poll: %d", status)
		}
		if got := <-first; got != "200 1" {
			t.Errorf("the first poll: %q", got)
		}
		ses.wantClose(t, ReasonTransportError)
	})
}

// A failed request that doesn't come again ends the session after repeatGrace, by the bubble's
// clock.
func TestMissingRepeat(t *testing.T) {
	id := requestID{sum: 1}
	for name, fail := range map[string]func(*testing.T, *Conn){
		"pending": func(t *testing.T, c *Conn) {
			p, g, refused := c.beginPoll(id)
			if refused != accepted {
				t.Fatal(refused)
			}
			c.abortPoll(p, g, errPollAborted)
		},
		"answering": func(t *testing.T, c *Conn) {
			c.Send(text("2x"), false)
			p, g, refused := c.beginPoll(id)
			if refused != accepted {
				t.Fatal(refused)
			}
			c.takeAnswer(p, g, false)
			c.endPoll(p, g, io.ErrClosedPipe)
		},
		"posting": func(t *testing.T, c *Conn) {
			p, q, refused := c.beginPost(id)
			if refused != accepted {
				t.Fatal(refused)
			}
			c.abortPost(p, q, io.ErrUnexpectedEOF)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{sessions: make(chan *session, 1)}
				s.Server = New(s, Options{})
				r := &http.Request{URL: &url.URL{}, Header: http.Header{}}
				c := s.newConn(r)
				c.poll = newPolling(requestID{})
				_ = s.admit()
				_ = s.add(c)
				s.open(c, r)
				ses := <-s.sessions
				begin := time.Now()
				fail(t, c)
				ses.wantClose(t, ReasonTransportError)
				if waited := time.Since(begin); waited != repeatGrace {
					t.Errorf("waited %v", waited)
				}
				_ = s.Shutdown(t.Context())
			})
		})
	}
}

func TestRepeatedPost(t *testing.T) {
	t.Run("done", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		for range 3 {
			c.wantPosted("a", "4x")
		}
		c.wantPosted("b", "4y")
		ses.wantData(t, "x")
		ses.wantData(t, "y")
		ses.wantSilence(t)
	})
	t.Run("running", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		entered, leave := make(chan struct{}), make(chan struct{})
		var once sync.Once
		ses.onEvent(func(event) {
			once.Do(func() { close(entered); <-leave })
		})
		var posting sync.WaitGroup
		posting.Go(func() { c.wantPosted("a", "4x\x1e4y") })
		<-entered
		for range 2 {
			posting.Go(func() { c.wantPosted("a", "4x\x1e4y") })
		}
		eventually(t, "the repeats have been read", func() bool {
			ses.mu.Lock()
			defer ses.mu.Unlock()
			return ses.poll.post.times == 2 && ses.poll.post.copies == 0
		})
		close(leave)
		posting.Wait()
		ses.wantData(t, "x")
		ses.wantData(t, "y")
		ses.wantSilence(t)
	})
	t.Run("half read", func(t *testing.T) { // over a connection that looks alive to the server
		s := start(t)
		c, ses := s.poller(t)
		nc := c.half(http.MethodPost, "a", "4hello", 3)
		eventually(t, "the post is being read", func() bool {
			ses.mu.Lock()
			defer ses.mu.Unlock()
			return ses.poll.post != nil
		})
		c.wantPosted("a", "4hello")
		reset(nc)
		c.wantPosted("b", "4y")
		ses.wantData(t, "hello")
		ses.wantData(t, "y")
		ses.wantSilence(t)
	})
	t.Run("reset while it was read", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		reset(c.half(http.MethodPost, "a", "4hello", 3))
		eventually(t, "the server knows", ses.awaitedPost)
		c.wantPosted("a", "4hello")
		ses.wantData(t, "hello")
		ses.wantSilence(t)
	})
	t.Run("lost", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		reset(c.half(http.MethodPost, "a", "4hello", 3))
		eventually(t, "the server knows", ses.awaitedPost)
		if status, _ := c.request(http.MethodPost, "b", "4next"); status != http.StatusBadRequest {
			t.Errorf("the next post: %d", status)
		}
		ses.wantClose(t, ReasonTransportError)
	})
	t.Run("goodbye", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		c.wantPosted("a", "4x\x1e1")
		ses.wantData(t, "x")
		ses.wantClose(t, ReasonTransportClose)
		if status, _ := c.request(http.MethodPost, "a", "4x\x1e1"); status != http.StatusBadRequest {
			t.Errorf("the repeat: %d", status)
		}
	})
	t.Run("too many copies", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		for range maxRepeats + 2 {
			c.half(http.MethodPost, "a", "4hello", 3)
		}
		ses.wantClose(t, ReasonTransportError)
	})
}

func TestRepeatsAroundAnUpgrade(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	c.wantPosted("p", "4hello")
	ses.wantData(t, "hello")
	first := c.pending(ses, "a")
	c.probeSocket()
	if got := <-first; got != "200 6" {
		t.Errorf("pending poll %q, want a noop", got)
	}
	c.wantAnswer("a", "6")
	c.wantPosted("p", "4hello")
	c.write("5")
	eventually(t, "upgraded", ses.overWebSocket)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if status, _ := c.request(method, "a", "4x"); status != http.StatusBadRequest {
			t.Errorf("%s after the upgrade: %d", method, status)
		}
	}
	c.write("4over there")
	ses.wantData(t, "over there")
	ses.Send(text("2x"), false)
	c.want("42x")
}

// While a client upgrades, the answer to its last poll may hold messages and be lost.
func TestAnswerLostDuringAnUpgrade(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	fails := s.failing(t)
	c.probeSocket()
	ses.Send(text("2x"), false)
	fails.Store(true)
	c.half(http.MethodGet, "a", "", 0)
	eventually(t, "the server knows", ses.awaitedPoll)
	fails.Store(false)
	ses.Send(text("2y"), false)
	c.wantAnswer("a", "42x")
	c.write("5")
	c.want("42y")
}

// Clients without a value for each request are served as if there were no repeats. Each of these
// gets every message once and in order.
func TestUnidentifiedRequests(t *testing.T) {
	kept := func() *http.Client { return &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}} }
	apart := func() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }
	for name, test := range map[string]struct {
		handshake, poll, post string
		client                func() *http.Client
	}{
		"none":                          {"", "", "", apart},
		"a constant":                    {"x", "x", "x", apart},
		"a constant of polls, posts":    {"", "x", "x", apart},
		"digits":                        {"", "7", "8", apart},
		"seconds":                       {"1764115200", "1764115200", "1764115201", apart},
		"milliseconds":                  {"", "1764115200123", "1764115200124", apart},
		"too long":                      {"", strings.Repeat("x", maxRequestID+1), strings.Repeat("y", maxRequestID+1), apart},
		"recorded, over one connection": {"NvjMjJx", "NvjMjKa", "NvjMjKb", kept},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c := &client{t: t, s: s}
			_, body := c.do(http.MethodGet, "EIO=4&transport=polling&t="+test.handshake, "")
			c.sid = c.open(body).SID
			ses := s.session(t)
			h := test.client()
			defer h.CloseIdleConnections()
			// As all clients do. The server closes the HTTP connection after it.
			_, _ = c.over(h, http.MethodPost, "", "4connect")
			ses.wantData(t, "connect")
			for i := range 10 {
				ses.Send(text(fmt.Sprint("2", i)), false)
				if status, body := c.over(h, http.MethodGet, test.poll, ""); status != http.StatusOK || body != fmt.Sprint("42", i) {
					t.Fatalf("poll %d: %d %q", i, status, body)
				}
				if status, body := c.over(h, http.MethodPost, test.post, "4same"); status != http.StatusOK {
					t.Fatalf("post %d: %d %q", i, status, body)
				}
				ses.wantData(t, "same")
			}
			ses.wantSilence(t)
		})
	}
	t.Run("recorded, each over its own connection", func(t *testing.T) { // looks like repeats, up to a number
		s := start(t)
		c, ses := s.poller(t)
		for i := range maxRepeats + 1 {
			ses.Send(text(fmt.Sprint("2", i)), false)
			c.wantAnswer("a", "420")
		}
		if _, body := c.request(http.MethodGet, "a", ""); !strings.HasPrefix(body, "421\x1e422") {
			t.Errorf("at last: %q", body)
		}
	})
	t.Run("another body", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		for _, body := range []string{"x", "y", "y", "x"} {
			c.wantPosted("a", "4"+body)
			ses.wantData(t, body)
		}
	})
	t.Run("random digits", func(t *testing.T) { // may be a stock client's, so it waits for the repeat
		s := start(t)
		c, ses := s.poller(t)
		reset(c.half(http.MethodGet, "90210733", "", 0))
		eventually(t, "the server expects a repeat", ses.awaitedPoll)
		ses.Send(text("2x"), false)
		c.wantAnswer("90210733", "42x")
	})
	t.Run("aborted", func(t *testing.T) { // ends the session at once
		s := start(t)
		c, ses := s.poller(t)
		begin := time.Now()
		reset(c.half(http.MethodGet, "7", "", 0))
		ses.wantClose(t, ReasonTransportError)
		if waited := time.Since(begin); waited > repeatGrace {
			t.Errorf("after %v", waited)
		}
	})
}

// A browser behind a proxy may repeat a request over the connection that the proxy has kept.
func TestRepeatOverTheSameConnection(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"trusted proxy": func(r *http.Request) { r.RemoteAddr = "192.0.2.1" },
		"browser":       func(r *http.Request) { r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)") },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				change(r)
				s.ServeHTTP(w, r)
			})
			c, ses := s.poller(t)
			h := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
			defer h.CloseIdleConnections()
			ses.Send(text("2x"), false)
			for range 2 {
				if _, body := c.over(h, http.MethodGet, "a", ""); body != "42x" {
					t.Errorf("poll %q", body)
				}
				if _, body := c.over(h, http.MethodPost, "b", "4x"); body != "ok" {
					t.Errorf("post %q", body)
				}
			}
			ses.wantData(t, "x")
			ses.wantSilence(t)
		})
	}
}

// The answer to a poll is kept until the next poll, and counts towards the client's backlog until
// then.
func TestLastAnswerIsKeptUntilTheNextPoll(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	backlog := func() int {
		ses.mu.Lock()
		defer ses.mu.Unlock()
		return ses.backlog()
	}
	long := strings.Repeat("x", 100_000)
	ses.Send(text(long), false)
	c.wantAnswer("a", "4"+long)
	if n := backlog(); n != 100_001 {
		t.Errorf("%d bytes are kept after the answer", n)
	}
	next := c.pending(ses, "b")
	if n := backlog(); n != 0 {
		t.Errorf("%d bytes are kept while the next poll is pending", n)
	}
	ses.Send(text(long), false)
	<-next
	if n := s.CutBacklogs(50_000); n != 1 {
		t.Errorf("%d connections were cut", n)
	}
	ses.wantClose(t, ReasonSlowConsumer)
}

// failing lets the test decide whether answers to polls can be written.
func (s *server) failing(t *testing.T) *atomic.Bool {
	t.Helper()
	var fails atomic.Bool
	s.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails.Load() && r.Method == http.MethodGet {
			w = brokenWriter{w}
		}
		s.ServeHTTP(w, r)
	})
	return &fails
}

// brokenWriter is the writer of a connection that was reset.
type brokenWriter struct{ http.ResponseWriter }

func (w brokenWriter) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Err: errors.New("connection reset by peer")}
}

// The server may read a request late, after it has answered the repeat and the client has gone
// on.
func TestLateCopies(t *testing.T) {
	late := func(c *client, method, t, body string) {
		c.t.Helper()
		if status, _ := c.request(method, t, body); status != http.StatusBadRequest {
			c.t.Errorf("a late copy of %s %s: %d", method, t, status)
		}
	}
	t.Run("of the last answer, over a dead connection", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		fails := s.failing(t)
		ses.Send(text("2x"), false)
		c.wantAnswer("a", "42x")
		fails.Store(true)
		c.half(http.MethodGet, "a", "", 0)
		eventually(t, "the copy has been answered", func() bool {
			ses.mu.Lock()
			defer ses.mu.Unlock()
			return ses.poll.last.times == 1 && ses.poll.last.copies == 0
		})
		fails.Store(false)
		ses.Send(text("2y"), false)
		c.wantAnswer("b", "42y")
	})
	t.Run("of earlier requests", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		for _, value := range []string{"a", "b", "c"} {
			ses.Send(text("2"+value), false)
			c.wantAnswer(value, "42"+value)
			c.wantPosted("p"+value, "4x")
			ses.wantData(t, "x")
		}
		next := c.pending(ses, "d")
		late(c, http.MethodGet, "c", "")
		late(c, http.MethodGet, "a", "")
		late(c, http.MethodPost, "pa", "4x")
		ses.Send(text("2d"), false)
		if got := <-next; got != "200 42d" {
			t.Errorf("the pending poll: %q", got)
		}
		late(c, http.MethodGet, "b", "")
		c.wantAnswer("d", "42d")
		ses.wantSilence(t)
	})
	t.Run("of many requests", func(t *testing.T) {
		s := start(t)
		c, ses := s.poller(t)
		for i := range maxPast {
			ses.Send(text(fmt.Sprint("2", i)), false)
			c.wantAnswer(fmt.Sprint("g", i), fmt.Sprint("42", i))
			c.wantPosted(fmt.Sprint("p", i), "4x")
			ses.wantData(t, "x")
			if i > 0 {
				late(c, http.MethodGet, fmt.Sprint("g", i-1), "")
				late(c, http.MethodPost, fmt.Sprint("p", i-1), "4x")
			}
		}
		late(c, http.MethodGet, "g0", "")
		late(c, http.MethodPost, "p0", "4x")
		reset(c.half(http.MethodGet, "next", "", 0))
		eventually(t, "the server still expects repeats", ses.awaitedPoll)
		ses.Send(text("2next"), false)
		c.wantAnswer("next", "42next")
		ses.wantSilence(t)
	})
	t.Run("of the other method", func(t *testing.T) { // a t from a clock may serve a GET and a POST
		s := start(t)
		c, ses := s.poller(t)
		for _, value := range []string{"a", "b"} {
			ses.Send(text("2"+value), false)
			c.wantAnswer(value, "42"+value)
		}
		c.wantPosted("a", "4x")
		ses.wantData(t, "x")
	})
	t.Run("too many", func(t *testing.T) { // two values in turn don't identify requests
		s := start(t)
		c, ses := s.poller(t)
		ses.Send(text("2x"), false)
		c.wantAnswer("a", "42x")
		ses.Send(text("2y"), false)
		c.wantAnswer("b", "42y")
		for range maxRepeats {
			late(c, http.MethodGet, "a", "")
		}
		ses.Send(text("2z"), false)
		c.wantAnswer("a", "42z")
	})
}
