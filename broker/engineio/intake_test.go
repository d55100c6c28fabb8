package engineio

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/salabroker/sala/broker/ratelimit"
)

// Until the client is known, the server keeps no more of a message than a handshake needs. It
// reads the rest, and the connection goes on.
func TestMaxHandshake(t *testing.T) {
	const keep = 5000
	euros := strings.Repeat("€", 10_000) // of three bytes each: what is kept ends within one
	want := strings.Repeat("€", (keep-1)/3)
	limits := func(o *Options) { o.MaxPayload, o.MaxHandshake = 100_000, keep }

	t.Run("websocket", func(t *testing.T) {
		s := start(t, limits)
		nc, ses := s.rawClient(t)
		half := len(euros) / 2
		for _, stream := range [][]byte{
			masked(true, ws.OpText, "4"+euros),
			slices.Concat(masked(false, ws.OpText, "4"+euros[:half]), masked(true, ws.OpPing, "x"), masked(true, ws.OpContinuation, euros[half:])),
		} {
			if _, err := nc.Write(stream); err != nil {
				t.Fatal(err)
			}
			ses.wantData(t, want)
		}
		ses.Established()
		if _, err := nc.Write(masked(true, ws.OpText, "4the last that was waited for")); err != nil {
			t.Fatal(err)
		}
		ses.wantData(t, "the last that was waited for")
		if _, err := nc.Write(masked(true, ws.OpText, "4"+euros)); err != nil {
			t.Fatal(err)
		}
		ses.wantData(t, euros)
	})
	t.Run("binary", func(t *testing.T) {
		s := start(t, limits)
		nc, ses := s.rawClient(t)
		if _, err := nc.Write(masked(true, ws.OpBinary, euros)); err != nil {
			t.Fatal(err)
		}
		ses.wantClose(t, ReasonMessageTooLarge)
	})
	t.Run("polling", func(t *testing.T) {
		s := start(t, limits)
		c, ses := s.poller(t)
		if status, body := c.post("4" + euros); status != http.StatusOK {
			t.Errorf("post: %d %s", status, body)
		}
		ses.wantData(t, want)
		ses.Established()
		if status, body := c.post("4" + euros); status != http.StatusOK {
			t.Errorf("post: %d %s", status, body)
		}
		ses.wantData(t, euros)
	})
	t.Run("polling, with more behind it", func(t *testing.T) {
		s := start(t, limits)
		c, ses := s.poller(t)
		ses.onEvent(func(event) { ses.Established() })
		if status, _ := c.post("4connect\x1e4" + euros); status != http.StatusRequestEntityTooLarge {
			t.Errorf("post: %d", status)
		}
		ses.wantData(t, "connect")
		ses.wantClose(t, ReasonMessageTooLarge)
	})
}

// unfinishedSender sends a part of a message. It returns a function that gives up.
type unfinishedSender func(t *testing.T, s *server) (leave func())

func unfinishedSenders(length, sent int) map[string]unfinishedSender {
	payload := bytes.Repeat([]byte("x"), length)
	return map[string]unfinishedSender{
		"a frame": func(t *testing.T, s *server) func() {
			nc, _ := s.rawClient(t)
			_, _ = nc.Write(masked(true, ws.OpText, "4"+string(payload))[:sent]) // it may have been closed
			return func() { _ = nc.Close() }
		},
		"fragments": func(t *testing.T, s *server) func() {
			nc, _ := s.rawClient(t)
			_, _ = nc.Write(masked(false, ws.OpBinary, string(payload[:sent/2])))
			_, _ = nc.Write(masked(false, ws.OpContinuation, string(payload[:sent/2])))
			return func() { _ = nc.Close() }
		},
		"a body": func(t *testing.T, s *server) func() {
			c, _ := s.poller(t)
			nc, err := net.Dial("tcp", strings.TrimPrefix(s.http.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(nc, "POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", c.query(), length, payload[:sent])
			return func() { _ = nc.Close() }
		},
	}
}

// The client with the most unfinished bytes makes room for others, and they don't notice. In the
// end no bytes are held.
func TestUnfinishedMessagesMakeRoom(t *testing.T) {
	const length, total, many = 100_000, 350_000, 12
	for name, hoard := range unfinishedSenders(length, 90_000) {
		for _, exempt := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", exempt ", exempt), func(t *testing.T) {
				options := ratelimit.HoldOptions{Total: total, PerAddress: 200_000, Exceeded: func() {}}
				if exempt {
					options.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}
				}
				holds, told := ratelimit.NewHolds(options), newTally()
				s := start(t, func(o *Options) { o.MaxPayload, o.Holds, o.Observer = length+10, holds, told })
				var leave []func()
				for range many {
					leave = append(leave, hoard(t, s))
				}
				left := 3
				if !exempt {
					left = 2
				}
				eventually(t, "most have been closed", func() bool {
					told.mu.Lock()
					defer told.mu.Unlock()
					return told.closed[ReasonUnfinished] >= many-left
				})
				c, ses := s.dial(t)
				c.write("4" + strings.Repeat("y", length))
				ses.wantData(t, strings.Repeat("y", length))
				poller, polling := s.poller(t)
				if status, body := poller.post("4" + strings.Repeat("y", length)); status != http.StatusOK {
					t.Errorf("post: %d %s", status, body)
				}
				polling.wantData(t, strings.Repeat("y", length))
				if now := holds.Bytes(); now > total {
					t.Errorf("%d bytes are held", now)
				}
				for _, leave := range leave {
					leave()
				}
				c.write("4so that the last is given back")
				ses.wantData(t, "so that the last is given back")
				eventually(t, "nothing is held", func() bool { return holds.Bytes() == 0 })
			})
		}
	}
}

// inMemory opens a WebSocket connection over a pipe, for a bubble of testing/synctest, and reads
// what comes back.
func (s *server) inMemory(t *testing.T) (net.Conn, *session) {
	t.Helper()
	r := &http.Request{URL: &url.URL{}, Header: http.Header{}}
	ours, theirs := net.Pipe()
	c := s.newConn(r)
	c.setLink(newLink(ours))
	if !s.admit() || !s.add(c) {
		t.Fatal("not admitted")
	}
	s.open(c, r)
	s.reading.start(c, newReader(c.ws, c.newIntake(), maxProbe, &s.buffers))
	t.Cleanup(func() { _ = theirs.Close() })
	return theirs, <-s.sessions
}

func bubble(t *testing.T, o Options, test func(t *testing.T, s *server)) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{sessions: make(chan *session, 10)}
		s.Server = New(s, o)
		defer func() { _ = s.Shutdown(t.Context()) }() // closes what is left
		test(t, s)
	})
}

// A message that doesn't arrive as a whole ends its connection, even while pongs and more
// fragments arrive.
func TestUnfinishedMessageTimesOut(t *testing.T) {
	for name, drip := range map[string][]byte{
		"nothing more": nil,
		"fragments":    slices.Concat(masked(false, ws.OpContinuation, "x"), masked(true, ws.OpPong, "")),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{PingInterval: time.Hour}, func(t *testing.T, s *server) {
				nc, ses := s.inMemory(t)
				go func() { _, _ = io.Copy(io.Discard, nc) }()
				begin := time.Now()
				if _, err := nc.Write(masked(false, ws.OpText, "4a")); err != nil {
					t.Fatal(err)
				}
				for range 100 {
					<-time.After(time.Second)
					if drip == nil {
						continue
					}
					if _, err := nc.Write(drip); err != nil {
						break
					}
				}
				ses.wantClose(t, ReasonMessageTimeout)
				if took := time.Since(begin); name != "nothing more" && (took < messageTime || took > messageTime+2*time.Second) {
					t.Errorf("closed after %s, want %s", took, messageTime)
				}
			})
		})
	}
}

// A client that sends too much is read no faster than its rate. It loses nothing and stays,
// although its pongs are among what isn't read. A client that stays silent after its pauses
// doesn't.
func TestReadRate(t *testing.T) {
	const rate, messages, size = 10_000, 100, 9_000
	o := Options{
		PingInterval: time.Second, PingTimeout: 3 * time.Second,
		ReadRate: ratelimit.Rate{PerSecond: rate, Burst: 2 * rate},
	}
	bubble(t, o, func(t *testing.T, s *server) {
		nc, ses := s.inMemory(t)
		var pinged atomic.Int64 // when the last ping came, in fake milliseconds
		pinged.Store(time.Now().UnixMilli())
		go func() {
			for {
				if _, err := ws.ReadFrame(nc); err != nil {
					return
				}
				now := time.Now().UnixMilli()
				if late := now - pinged.Swap(now); late > 4000 {
					t.Errorf("there was no ping for %d ms: the client goes after 4000", late)
				}
			}
		}()
		begin := time.Now()
		for i := range messages {
			if _, err := nc.Write(masked(true, ws.OpText, fmt.Sprint("4", i, strings.Repeat("x", size)))); err != nil {
				t.Fatalf("message %d after %s: %v", i, time.Since(begin), err)
			}
		}
		for i := range messages {
			ses.wantData(t, fmt.Sprint(i, strings.Repeat("x", size)))
		}
		want := messages*size/rate*time.Second - 2*time.Second
		if took := time.Since(begin); took < want-time.Second || took > want+2*time.Second {
			t.Errorf("%d bytes took %s, want %s", messages*size, took, want)
		}
		if ses.pauses.Load() == 0 {
			t.Error("no pause was reported")
		}
		begin = time.Now()
		ses.wantClose(t, ReasonPingTimeout)
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("a client that is silent stayed for %s", took)
		}
	})
}

// The end of a connection doesn't wait for the end of a pause.
func TestPausedConnectionsEnd(t *testing.T) {
	o := Options{ReadRate: ratelimit.Rate{PerSecond: 1, Burst: 1}}
	bubble(t, o, func(t *testing.T, s *server) {
		nc, ses := s.inMemory(t)
		if _, err := nc.Write(masked(true, ws.OpText, "4"+strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
		ses.wantData(t, strings.Repeat("x", 1000))
		begin := time.Now()
		ses.cut()
		ses.wantClose(t, ReasonForcedClose)
		if took := time.Since(begin); took > 0 {
			t.Errorf("the end took %s", took)
		}
	})
}

// A body is read no faster than its client's rate, and that doesn't make it late.
func TestReadRateOfBodies(t *testing.T) {
	const size = 60_000
	s := start(t, func(o *Options) {
		o.ReadRate = ratelimit.Rate{PerSecond: 40_000, Burst: 10_000}
		o.WriteTimeout = time.Second // less than the pauses together
	})
	c, ses := s.poller(t)
	begin := time.Now()
	if status, body := c.post("4" + strings.Repeat("x", size)); status != http.StatusOK {
		t.Errorf("post: %d %s", status, body)
	}
	ses.wantData(t, strings.Repeat("x", size))
	if took := time.Since(begin); took < 1100*time.Millisecond {
		t.Errorf("it took %s, want at least the time for 50,000 bytes", took)
	}
}

func TestTrimRune(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "€": "€", "a€": "a€", "a\xe2": "a", "a\xe2\x82": "a", "a\xf0\x9f\x91": "a", "\xff": "\xff", "\x82\x82\x82\x82\x82": "\x82\x82\x82\x82\x82",
	} {
		if got := string(trimRune([]byte(text))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
