package engineio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

func startTLS(t *testing.T, options ...func(*Options)) *server {
	t.Helper()
	return startOver(t, &tls.Config{}, options...)
}

func TestTLS(t *testing.T) {
	t.Run("messages", func(t *testing.T) {
		s := startTLS(t, func(o *Options) { o.MaxQueuedBytes = 4 << 20 })
		c, ses := s.dial(t)
		c.write("4hello")
		ses.wantData(t, "hello")
		big := strings.Repeat("x", 200_000)
		c.write("4" + big)
		ses.wantData(t, big)
		for i := range 1000 {
			ses.Send(text(fmt.Sprint("2", i)), false)
		}
		ses.sendAndClose(text(big), ReasonForcedClose)
		for i := range 1000 {
			c.want(fmt.Sprint("42", i))
		}
		c.want("4" + big)
		c.wantClosed(websocket.CloseNormalClosure)
		ses.wantClose(t, ReasonForcedClose)
	})
	t.Run("stalled", func(t *testing.T) {
		s := startTLS(t, func(o *Options) { o.MaxQueuedBytes, o.WriteTimeout = 64<<20, 200*time.Millisecond })
		_, ses := s.dial(t)
		for range 16 {
			ses.Send(text(strings.Repeat("x", 1<<20)), false)
		}
		ses.wantClose(t, ReasonSlowConsumer)
	})
}

// A connection whose TLS is somebody else's keeps a goroutine, and works.
func TestForeignTLS(t *testing.T) {
	s := start(t)
	s.http.Close()
	s.http = httptest.NewTLSServer(s.Server)
	c, ses := s.dial(t)
	c.write("4hello")
	ses.wantData(t, "hello")
	ses.mu.Lock()
	if ses.ws.canPark() {
		t.Error("the connection would be parked")
	}
	ses.mu.Unlock()
	c.write("4again")
	ses.wantData(t, "again")
	_ = c.ws.Close()
	ses.wantClose(t, ReasonTransportClose)
}

// A parked connection holds no buffer, whatever part of a record has arrived.
func TestRecordByteByByte(t *testing.T) {
	s := startTLS(t)
	r, socket, _, ses := s.recordClient(t)
	_, _ = socket.Write(r.seal(recordData, clientFrame("4first"), 0))
	ses.wantData(t, "first")
	for _, b := range r.seal(recordData, clientFrame("4slow"), 100) {
		ses.awaitParked(t)
		s.parker.mu.Lock()
		if r := ses.parkState.reader; r != nil && r.buf != nil {
			t.Error("a parked connection has a buffer")
		}
		s.parker.mu.Unlock()
		_, _ = socket.Write([]byte{b})
	}
	ses.wantData(t, "slow")
}

// A record may be larger than what is read at a time.
func TestRecordsOfAnySize(t *testing.T) {
	overAll(t, func(t *testing.T, start starter) {
		s := start(t)
		nc, ses := s.rawClient(t)
		for _, size := range []int{1, 400, 450, 480, 500, 520, 1000, 2000, 4090, 4096, 5000, 16_000, 40_000} {
			message := strings.Repeat("x", size)
			for range 3 {
				_, _ = nc.Write(clientFrame("4" + message))
				ses.wantData(t, message)
				ses.awaitParked(t)
			}
		}
	})
}

// A client may end at any point of a record.
func TestEndsOverTLS(t *testing.T) {
	whole := func(r *records, content string) []byte { return r.seal(recordData, clientFrame("4"+content), 0) }
	for name, test := range map[string]struct {
		sends  func(r *records) []byte
		ends   func(socket *net.TCPConn) error
		reason Reason
	}{
		"close_notify":              {func(r *records) []byte { return r.seal(recordAlert, []byte{1, 0}, 0) }, nil, ReasonTransportClose},
		"an alert":                  {func(r *records) []byte { return r.seal(recordAlert, []byte{2, 80}, 0) }, nil, ReasonTransportError},
		"between two records":       {func(*records) []byte { return nil }, (*net.TCPConn).CloseWrite, ReasonTransportClose},
		"in the middle of a header": {func(r *records) []byte { return whole(r, "x")[:3] }, (*net.TCPConn).CloseWrite, ReasonTransportClose},
		"in the middle of a record": {func(r *records) []byte { return whole(r, "x")[:20] }, (*net.TCPConn).CloseWrite, ReasonTransportClose},
		"reset in the middle of a record": {func(r *records) []byte { return whole(r, "x")[:20] }, func(socket *net.TCPConn) error {
			return errors.Join(socket.SetLinger(0), socket.Close())
		}, ReasonTransportError},
		"a forged record": {func(r *records) []byte {
			record := whole(r, "x")
			record[len(record)-1] ^= 1
			return record
		}, nil, ReasonTransportError},
		"records of nothing": {func(r *records) []byte {
			var empty []byte
			for range 20 {
				empty = append(empty, r.seal(recordData, nil, 0)...)
			}
			return empty
		}, nil, ReasonTransportError},
		"keys that never stay": {func(r *records) []byte {
			var updates []byte
			for range 20 {
				updates = append(updates, r.updateKeys(true, false)...)
			}
			return updates
		}, nil, ReasonTransportError},
	} {
		t.Run(name, func(t *testing.T) {
			counts := newTally()
			s := startTLS(t, func(o *Options) { o.Observer = counts })
			r, socket, _, ses := s.recordClient(t)
			_, _ = socket.Write(whole(r, "first"))
			ses.wantData(t, "first")
			ses.awaitParked(t)
			_, _ = socket.Write(test.sends(r))
			if test.ends != nil {
				ses.awaitParked(t) // in the middle, if there is one
				if err := test.ends(socket); err != nil {
					t.Fatal(err)
				}
			}
			if e := ses.next(t); e.name != "close" || e.value != string(test.reason) {
				t.Errorf("%+v, want the end for %s", e, test.reason)
			}
			s.awaitNobody(t, counts)
		})
	}
}

// The timers of a connection don't depend on its goroutine.
func TestSilentOverTLS(t *testing.T) {
	s := startTLS(t, func(o *Options) { o.PingInterval, o.PingTimeout = 20*time.Millisecond, 20*time.Millisecond })
	r, socket, _, ses := s.recordClient(t)
	first := r.seal(recordData, clientFrame("4first"), 0)
	_, _ = socket.Write(append(first, r.seal(recordData, clientFrame("4never"), 0)[:20]...))
	ses.wantData(t, "first")
	ses.wantClose(t, ReasonPingTimeout)
}

// Whatever way a client's messages are cut into frames, records and segments, and whatever stands
// between them, each arrives once and in order, and so do the answers.
func TestMessagesInAnyRecords(t *testing.T) {
	const clients, messages = 6, 60
	s := startTLS(t, func(o *Options) { o.MaxQueuedBytes = 64 << 20 })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var all sync.WaitGroup
	for i := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		r, socket, nc, ses := s.recordClient(t)
		ses.onEvent(func(e event) {
			if e.name == "text" {
				ses.Send(text("2"+e.value), false)
			}
		})
		sent := make([]string, messages)
		for n := range sent {
			length := random.IntN(40)
			if random.IntN(10) == 0 {
				length = random.IntN(40_000)
			}
			sent[n] = fmt.Sprint(n, ":", strings.Repeat("x", length))
		}
		all.Go(func() { ses.writeInPieces(random, r, socket, sent) })
		all.Go(func() {
			for _, want := range sent {
				ses.wantData(t, want)
			}
		})
		all.Go(func() {
			for _, want := range sent {
				if f := nextText(nc); f != "42"+want {
					t.Errorf("the answer %.100q, want %.100q", f, "42"+want)
					return
				}
			}
		})
	}
	all.Wait()
}

// nextText returns the next text frame, or how there is none.
func nextText(nc net.Conn) string {
	f, err := ws.ReadFrame(nc)
	for err == nil && f.Header.OpCode != ws.OpText {
		f, err = ws.ReadFrame(nc)
	}
	if err != nil {
		return err.Error()
	}
	return string(f.Payload)
}

// writeInPieces sends messages to the session in frames, records and segments of any size.
func (s *session) writeInPieces(random *rand.Rand, r *records, socket net.Conn, messages []string) {
	var stream []byte
	for _, m := range messages {
		if cut := random.IntN(len(m)); random.IntN(5) == 0 {
			stream = append(stream, masked(false, ws.OpText, "4"+m[:cut])...)
			stream = append(stream, masked(true, ws.OpPing, "in between")...)
			stream = append(stream, masked(true, ws.OpContinuation, m[cut:])...)
			continue
		}
		stream = append(stream, clientFrame("4"+m)...)
	}
	var wire []byte
	for len(stream) > 0 {
		switch random.IntN(12) {
		case 0:
			wire = append(wire, r.seal(recordData, nil, random.IntN(50))...) // nothing but padding
		case 1:
			wire = append(wire, r.updateKeys(random.IntN(2) == 0, random.IntN(2) == 0)...)
		case 2:
			wire = append(wire, r.seal(recordAlert, []byte{1, 90}, 0)...) // user_canceled, which means nothing
		}
		n := piece(random, len(stream))
		wire = append(wire, r.seal(recordData, stream[:n], random.IntN(30))...)
		stream = stream[n:]
	}
	for len(wire) > 0 {
		n := piece(random, len(wire))
		if _, err := socket.Write(wire[:n]); err != nil {
			return // who waits for the rest says so
		}
		wire = wire[n:]
		if random.IntN(2) == 0 {
			s.settle()
		}
	}
}

// settle gives the server some time to read what has arrived. Nothing depends on it but how much a
// test finds.
func (s *session) settle() {
	for range 10 {
		time.Sleep(100 * time.Microsecond) //nolint:forbidigo // a loop without it would keep the runtime from its network poller
		if !s.unread() {
			return
		}
	}
}

// The same over TLS 1.2, whose records the standard library makes.
func TestMessagesInAnySegments(t *testing.T) {
	const messages = 300
	s := startOver(t, &tls.Config{MaxVersion: tls.VersionTLS12}, func(o *Options) { o.MaxQueuedBytes = 64 << 20 })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	nc, ses := s.rawClientBy(t, func(ctx context.Context, network, address string) (net.Conn, error) {
		socket, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &choppy{socket, random}, err
	})
	for i := range messages {
		length := random.IntN(40)
		if random.IntN(10) == 0 {
			length = random.IntN(40_000)
		}
		want := fmt.Sprint(i, ":", strings.Repeat("x", length))
		if _, err := nc.Write(clientFrame("4" + want)); err != nil {
			t.Fatal(err)
		}
		ses.wantData(t, want)
		ses.Send(text("2"+want), false)
		if f := nextText(nc); f != "42"+want {
			t.Fatalf("the answer %.100q, want %.100q", f, "42"+want)
		}
	}
}

// choppy is a socket that sends a few bytes at a time.
type choppy struct {
	net.Conn
	random *rand.Rand
}

func (c *choppy) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		written := 0
		next := len(p) - n
		if c.random.IntN(3) > 0 {
			next = piece(c.random, next)
		}
		written, err = c.Conn.Write(p[n:][:next])
		n += written
		if c.random.IntN(2) == 0 {
			time.Sleep(100 * time.Microsecond) //nolint:forbidigo // the connection may be parked after that
		}
	}
	return n, err
}

// piece returns how many of some bytes go into one piece.
func piece(random *rand.Rand, all int) int {
	n := 1 + random.IntN([]int{10, 100, 16_000}[random.IntN(3)])
	return min(n, all)
}
