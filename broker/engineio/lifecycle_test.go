package engineio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

func TestHeartbeat(t *testing.T) {
	short := func(o *Options) { o.PingInterval, o.PingTimeout = 20*time.Millisecond, time.Second }
	t.Run("websocket", func(t *testing.T) {
		s := start(t, short)
		c, ses := s.dial(t)
		for range 5 {
			c.want("2")
			c.write("3")
		}
		c.want("2") // not answered
		ses.wantClose(t, ReasonPingTimeout)
	})
	t.Run("polling", func(t *testing.T) {
		s := start(t, short)
		c, ses := s.poller(t)
		for range 5 {
			c.wantPoll("2")
			c.post("3")
		}
		c.wantPoll("2") // not answered
		c.wantGone()    // what a poll gets that is pending when the connection ends
		ses.wantClose(t, ReasonPingTimeout)
	})
}

// Timers keep deadlines in order. Deadlines can be moved and removed, and are met in time.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{sessions: make(chan *session, 20)}
		s.Server = New(s, Options{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second})
		begin := time.Now()
		var mu sync.Mutex
		closed := map[string]time.Duration{}
		var conns []*Conn
		for i := range 20 {
			r := &http.Request{URL: &url.URL{}, Header: http.Header{}}
			c := s.newConn(r)
			c.poll = newPolling(requestID{})
			_ = s.admit()
			_ = s.add(c)
			name := fmt.Sprint(i)
			s.open(c, r)
			(<-s.sessions).onEvent(func(e event) {
				mu.Lock()
				defer mu.Unlock()
				closed[name+e.value] = time.Since(begin)
			})
			conns = append(conns, c)
		}
		conns[18].onPong()             // answers nothing, and so changes nothing
		<-time.After(10 * time.Second) // of the bubble
		synctest.Wait()                // all have been pinged
		for i, c := range conns[:10] {
			<-time.After(100 * time.Millisecond)
			if i%2 == 0 {
				c.onPong()
			}
		}
		conns[19].CloseAfterFlush(ReasonForcedClose) // its deadline is closeGrace, as it has no poll pending
		<-time.After(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i := range 20 {
			want := 15 * time.Second
			reason := ReasonPingTimeout
			switch {
			case i < 10 && i%2 == 0:
				want += 10*time.Second + time.Duration(i+1)*100*time.Millisecond
			case i == 19:
				want, reason = 13*time.Second, ReasonForcedClose
			}
			if got := closed[fmt.Sprint(i, string(reason))]; got != want {
				t.Errorf("connection %d: %v, want %v", i, got, want)
			}
		}
		_ = s.Shutdown(t.Context())
	})
}

func TestShutdown(t *testing.T) {
	s := start(t)
	w, wses := s.dial(t)
	p, pses := s.poller(t)
	idle, ises := s.poller(t)
	polled := make(chan string)
	go func() {
		_, body := p.poll()
		polled <- body
	}()
	eventually(t, "the poll is pending", func() bool { return pses.takesMessages() })
	big := strings.Repeat("x", 500_000)
	for _, ses := range []*session{wses, ises} {
		ses.Send(text(big), false)
	}
	done := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		done <- s.Shutdown(ctx)
	}()
	w.want("4" + big)
	w.wantClosed(websocket.CloseGoingAway)
	if got := <-polled; got != gone {
		t.Errorf("pending poll %q", got)
	}
	idle.wantPoll("4" + big)
	idle.wantGone()
	for _, ses := range []*session{wses, pses, ises} {
		ses.wantClose(t, ReasonShutdown)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if status, body := w.do(http.MethodGet, "EIO=4&transport=polling", ""); status != http.StatusServiceUnavailable {
		t.Errorf("handshake after shutdown: %d %s", status, body)
	}
	wantLastOfConnection(t, s)
	_, response, err := websocket.DefaultDialer.DialContext(t.Context(), s.url("ws", "EIO=4&transport=websocket"), nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("handshake after shutdown: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// A long-polling client that has vanished doesn't delay a shutdown for the whole WriteTimeout.
func TestShutdownDoesNotWaitForAbandonedPollers(t *testing.T) {
	s := start(t)
	_, ses := s.poller(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*closeGrace)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	ses.wantClose(t, ReasonShutdown)
}

func TestShutdownCutsConnections(t *testing.T) {
	s := start(t)
	_, stalled := s.rawClient(t)
	_, silent := s.poller(t)
	c, probing := s.poller(t)
	c.probeSocket()
	frame := text(strings.Repeat("x", 500_000))
	for stalled.Send(frame, true) == Queued {
		if !stalled.isOpen() {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	for _, ses := range []*session{stalled, silent, probing} {
		ses.wantClose(t, ReasonShutdown)
	}
}

// A receiver that doesn't return can't delay a shutdown, whose error says what it has abandoned.
// Everything else ends.
func TestShutdownAbandonsStuckReceivers(t *testing.T) {
	for name, connect := range map[string]func(*testing.T, *server) (*client, *session){
		"websocket": func(t *testing.T, s *server) (*client, *session) { return s.dial(t) },
		"polling":   func(t *testing.T, s *server) (*client, *session) { return s.poller(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c, stuck := connect(t, s)
			_, other := s.dial(t)
			release := make(chan struct{})
			stuck.onEvent(func(e event) {
				if e.name == "text" {
					<-release
				}
			})
			var posting sync.WaitGroup
			if c.ws != nil {
				c.write("4x")
			} else {
				posting.Go(func() { c.post("4x") })
			}
			stuck.wantData(t, "x")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := s.Shutdown(ctx)
			var left *Abandoned
			if !errors.As(err, &left) || left.Connections != 1 || !errors.Is(err, context.Canceled) {
				t.Errorf("shutdown: %v, want that one connection is left", err)
			}
			other.wantClose(t, ReasonShutdown)
			close(release)
			stuck.wantClose(t, ReasonShutdown)
			posting.Wait()
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("the second shutdown: %v", err)
			}
		})
	}
}

// A receiver may call any method of its connection, as no lock is held while it runs.
func TestReceiverMayCallAnything(t *testing.T) {
	acts := map[string]func(*session){
		"send":    func(ses *session) { ses.Send(text("2x"), false); ses.CloseAfterFlush(ReasonForcedClose) },
		"close":   func(ses *session) { ses.CloseAfterFlush(ReasonForcedClose) },
		"discard": func(ses *session) { ses.cut() },
		"panic":   func(ses *session) { ses.cut(); panic("boo") },
	}
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			w, wses := s.dial(t)
			p, pses := s.poller(t)
			for _, ses := range []*session{wses, pses} {
				ses.onEvent(func(e event) {
					if e.name == "close" {
						ses.events <- event{"close", "again"}
					}
					act(ses)
				})
			}
			w.write("4x")
			p.post("4x")
			if name == "send" || name == "close" {
				for body := ""; body != gone; {
					_, body = p.poll()
				}
				_ = w.ws.NetConn().Close()
			}
			wses.wantClose(t, ReasonForcedClose)
			wses.wantClose(t, "again")
			pses.wantClose(t, ReasonForcedClose)
			pses.wantClose(t, "again")
		})
	}
}

// Closed is called after the last message has been handled, even if the connection ends
// meanwhile.
func TestClosedComesAfterLastMessage(t *testing.T) {
	s := start(t)
	w, wses := s.dial(t)
	p, pses := s.poller(t)
	for _, test := range []struct {
		ses  *session
		send func()
	}{{wses, func() { w.write("4x") }}, {pses, func() { p.post("4x") }}} {
		entered, leave := make(chan struct{}), make(chan struct{})
		test.ses.onEvent(func(e event) {
			if e.name != "close" {
				close(entered)
				<-leave
			}
		})
		sent := make(chan struct{})
		go func() { defer close(sent); test.send() }()
		<-entered
		test.ses.wantData(t, "x")
		test.ses.cut()
		test.ses.wantSilence(t)
		close(leave)
		<-sent
		test.ses.wantClose(t, ReasonForcedClose)
	}
}

// A connection doesn't keep what net/http has allocated for its request.
func TestRequestIsNotRetained(t *testing.T) {
	s := start(t)
	var freed atomic.Int32
	s.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runtime.AddCleanup(r, func(struct{}) { freed.Add(1) }, struct{}{})
		s.ServeHTTP(w, r)
	})
	s.dial(t)
	s.poller(t)
	eventually(t, "both requests are freed", func() bool { runtime.GC(); return freed.Load() == 2 })
}

// A burst of more than MaxQueuedBytes doesn't cut a client that keeps up while the flushers
// don't.
func TestBurstBeyondTheCap(t *testing.T) {
	s := start(t, func(o *Options) { o.MaxQueuedBytes = 64 << 10 })
	c, ses := s.dial(t)
	s.flushing.stop()    // the extreme case: they do nothing
	const messages = 180 // which the socket's buffers hold
	for i := range messages {
		if r := ses.Send(text(fmt.Sprintf("2%03d%s", i, strings.Repeat("x", 1000))), false); r != Queued {
			t.Fatalf("message %d: %+v", i, r)
		}
	}
	for i := range messages - 64 { // what fits into the queue is still there
		if got := c.read(); !strings.HasPrefix(got, fmt.Sprintf("42%03d", i)) {
			t.Fatalf("message %d: %.10q", i, got)
		}
	}
}

// wantLastOfConnection checks that a draining server closes the HTTP connection after an answer.
// A refused handshake of a proxy is the exception, as the proxy may try it on another node.
func wantLastOfConnection(t *testing.T, s *server) {
	t.Helper()
	for query, last := range map[string]bool{
		"EIO=4&transport=polling": true, "EIO=4&transport=polling&sid=unknown": true, "transport=none": true,
	} {
		if status, got := keepsConnection(t, s, http.MethodGet, query, ""); got == last {
			t.Errorf("%s: %d, the last of its connection: %t, want %t", query, status, !got, last)
		}
	}
	if status, keeps := keepsConnection(t, s, http.MethodGet, "EIO=4&transport=polling", "", "X-Forwarded-For", "192.0.2.1"); !keeps {
		t.Errorf("a handshake of a proxy: %d, the last of its connection", status)
	}
}

// keepsConnection sends a request with headers, and reports whether the answer keeps its connection.
func keepsConnection(t *testing.T, s *server, method, query, body string, headers ...string) (status int, keeps bool) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.url("http", query), strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, false
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0, false
	}
	_ = response.Body.Close()
	return response.StatusCode, !response.Close
}

// A client keeps its connections to a draining server until it is told to go: where others lead, its
// session may be unknown. Then its poll is the last request of its connection. It may still post over
// its other one.
func TestDrainEndsKeptConnections(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	keeps := func(method, body string, want int) bool {
		status, keeps := keepsConnection(t, s, method, c.query(), body)
		if status != want {
			t.Errorf("%s: %d, want %d", method, status, want)
		}
		return keeps
	}
	c.post("4first") // a client's first post ends its connection in any case
	poll := func(want int) <-chan bool {
		kept := make(chan bool, 1)
		go func() { kept <- keeps(http.MethodGet, "", want) }()
		eventually(t, "the poll waits", ses.takesMessages)
		return kept
	}
	kept := poll(http.StatusOK)
	s.Refuse()
	ses.Send(text("news"), false)
	if !<-kept {
		t.Error("a poll ends the connection of a client that stays")
	}
	if !keeps(http.MethodPost, "4second", http.StatusOK) {
		t.Error("a post ends the connection of a client that stays")
	}
	kept = poll(http.StatusBadRequest)
	ses.CloseAfterFlush(ReasonShutdown)
	if <-kept {
		t.Error("a client that is told to go keeps the connection of its poll")
	}
	if !keeps(http.MethodPost, "4late", http.StatusOK) {
		t.Error("a post that is late ends its connection, so that the next one may be refused elsewhere")
	}
}

// The Python clients never connect again after a POST that is refused, so it fails instead. A proxy gets
// an answer, and so does everybody else.
func TestRefusedPostsOfPythonClients(t *testing.T) {
	s := start(t)
	c, ses := s.poller(t)
	c.post("4first")
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.poll()
	}()
	eventually(t, "the poll waits", ses.takesMessages)
	ses.CloseAfterFlush(ReasonForcedClose)
	<-told
	unknown := "EIO=4&transport=polling&sid=unknown"
	for name, test := range map[string]struct {
		query, agent, proxy, body string
		want                      int // 0: no answer
	}{
		"requests":                       {unknown, "python-requests/2.28.1", "", "4x", 0},
		"aiohttp":                        {unknown, "Python/3.11 aiohttp/3.8.4", "", "4x", 0},
		"after the end":                  {c.query(), "python-requests/2.28.1", "", "4x", 0},
		"a goodbye":                      {unknown, "python-requests/2.28.1", "", "1", http.StatusOK},
		"through a proxy":                {unknown, "python-requests/2.28.1", "192.0.2.1", "4x", http.StatusBadRequest},
		"after the end, through a proxy": {c.query(), "python-requests/2.28.1", "192.0.2.1", "4x", http.StatusOK},
		"a browser":                      {unknown, "Mozilla/5.0", "", "4x", http.StatusBadRequest},
		"a browser, after the end":       {c.query(), "Mozilla/5.0", "", "4x", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("http", test.query), strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("User-Agent", test.agent)
			if test.proxy != "" {
				request.Header.Set("X-Forwarded-For", test.proxy)
			}
			status := 0
			if response, err := http.DefaultClient.Do(request); err == nil {
				status = response.StatusCode
				_ = response.Body.Close()
			}
			if status != test.want {
				t.Errorf("the answer is %d, want %d", status, test.want)
			}
		})
	}
}
