package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// fakeServer is a server like the floor that handles messages as a test wants.
type fakeServer struct {
	listen, control string
	accepted        atomic.Int64
	refuse          func(n int64) bool // whether to hang up on the nth connection
	hangUp          int                // the client to hang up on after its first batch; 0 for none
	served          sync.WaitGroup
	mu              sync.Mutex
	closed          bool
	conns           []net.Conn
}

// newFakeServer starts a server that sends to each client what deliver returns for its number and a
// batch.
func newFakeServer(t *testing.T, refuse func(n int64) bool, deliver func(client int, batch []line.Message) []line.Message) *fakeServer {
	t.Helper()
	s := &fakeServer{refuse: refuse}
	server := httptest.NewServer(http.HandlerFunc(s.accept))
	t.Cleanup(server.Close)
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listen, s.control = server.Listener.Addr().String(), control.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = line.Serve(control, func(batch []line.Message) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for i, conn := range s.conns {
				for _, m := range deliver(i, batch) {
					_, _ = conn.Write(serverFrame(m.Payload))
				}
				if i > 0 && i == s.hangUp {
					conn.Close()
				}
			}
		})
	}()
	t.Cleanup(func() {
		control.Close()
		<-served
		s.close()
		s.served.Wait()
	})
	return s
}

// close closes all connections, including those whose handshake is not over: httptest does not wait
// for hijacked ones.
func (s *fakeServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, conn := range s.conns {
		conn.Close()
	}
}

func serverFrame(payload []byte) []byte {
	return append([]byte{0x81, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}

func (s *fakeServer) accept(w http.ResponseWriter, r *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if s.refuse(s.accepted.Add(1)) {
		conn.Close()
		return
	}
	hash := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return
	}
	s.conns = append(s.conns, conn)
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(hash[:]))
	s.served.Go(func() { acknowledge(conn) })
}

// acknowledge answers every other event of a client with its argument, and all others with nothing.
func acknowledge(conn net.Conn) {
	r := bufio.NewReader(conn)
	for n := 0; ; n++ {
		frame := make([]byte, 8) // with the length in two bytes, and the mask
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		frame = append(frame, make([]byte, int(frame[2])<<8|int(frame[3]))...)
		if _, err := io.ReadFull(r, frame[8:]); err != nil {
			return
		}
		event := unmask(frame)
		answer := []byte("430[]")
		if n%2 == 0 {
			answer = bytes.Replace(event, []byte("42"), []byte("43"), 1)
		}
		_, _ = conn.Write(serverFrame(answer))
	}
}

// delivery is a benchmark with 20 clients in one room.
func delivery() Deliver {
	return Deliver{load.DeliveryConfig{Clients: 20, Batch: 10}, 5, 0}
}

// How long messages may take to arrive in tests in which all do, and in others.
const long, short = 10 * time.Second, 200 * time.Millisecond

func nobody(int64) bool { return false }

func all(_ int, batch []line.Message) []line.Message { return batch }

// run runs a benchmark against the server.
func (s *fakeServer) run(t *testing.T, b Benchmark, timeout time.Duration) results.Figures {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	env := &environment{
		Target: process.Target{PID: os.Getpid(), Listen: s.listen, Control: s.control}, Protocol: protocolFloor, Timeout: timeout,
	}
	f, err := b.run(ctx, env, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDeliverCountsWhatArrives(t *testing.T) {
	s := newFakeServer(t, nobody, all)
	f := s.run(t, delivery(), long)
	wanted := results.Figures{Deliveries: 20 * 10 * 5, Missing: 0, Disorder: 0, Lost: 0, Gone: 0}
	for name, want := range wanted {
		if f[name] != want {
			t.Errorf("%s is %v, want %v", name, f[name], want)
		}
	}
	if f[P50] <= 0 || f[P99] < f[P50] || f[Max] < f[P99] || f[CPU] <= 0 {
		t.Errorf("these figures are impossible: %v", f)
	}
}

func TestDeliverNoticesMessagesOutOfOrder(t *testing.T) {
	swapped := false
	s := newFakeServer(t, nobody, func(client int, batch []line.Message) []line.Message {
		if client != 7 || swapped || len(batch) < 2 {
			return batch
		}
		swapped = true
		return append([]line.Message{batch[1], batch[0]}, batch[2:]...)
	})
	if f := s.run(t, delivery(), long); f[Disorder] != 1 || f[Missing] != 0 {
		t.Errorf("one of two messages came too late: got %v", f)
	}
}

func TestDeliverNoticesMissingMessages(t *testing.T) {
	s := newFakeServer(t, nobody, func(client int, batch []line.Message) []line.Message {
		if client == 3 {
			return nil
		}
		return batch
	})
	if f := s.run(t, delivery(), short); f[Missing] != 10*5 || f[Deliveries] != 19*10*5 {
		t.Errorf("one of 20 clients got nothing: got %v", f)
	}
}

func TestDeliverCountsMessagesToClientsThatAreGoneAsMissing(t *testing.T) {
	s := newFakeServer(t, nobody, all)
	s.hangUp = 3
	// The first of its five batches has arrived, but nobody knows that any more: all of its
	// messages are missing.
	if f := s.run(t, delivery(), short); f[Gone] != 1 || f[Missing] != 10*5 {
		t.Errorf("the server hung up on one of 20: got %v", f)
	}
}

func TestConnectCountsLostConnections(t *testing.T) {
	s := newFakeServer(t, func(n int64) bool { return n == 4 || n == 9 }, all)
	if f := s.run(t, Connect{Clients: 20}, long); f[Lost] != 2 || f[Connects] != 20 {
		t.Errorf("the server hung up on 2 of 20: got %v", f)
	}
}

func TestDeliverReplacesLostConnections(t *testing.T) {
	s := newFakeServer(t, func(n int64) bool { return n == 4 || n == 9 }, all)
	if f := s.run(t, delivery(), long); f[Lost] != 2 || f[Missing] != 0 || f[Deliveries] != 20*10*5 {
		t.Errorf("the server hung up on 2 of 22: got %v", f)
	}
}

func TestEventsCountsAcks(t *testing.T) {
	s := newFakeServer(t, nobody, all)
	f := s.run(t, Events{Clients: 10, Batch: 10, Every: time.Millisecond, Batches: 5, Events: 40, InFlight: 20}, short)
	// 10 clients sent 5 batches of 10 events, and the second and the fourth of each client had no
	// proper ack; then 40 more.
	if f[Missing] != 2*10+20 || f[Rate] <= 0 || f[P99] < f[P50] || f[CPU] <= 0 {
		t.Errorf("every other event had an ack without its argument: got %v", f)
	}
}

// unmask returns the payload of a client's frame with a length of 16 bits.
func unmask(frame []byte) []byte {
	payload := bytes.Clone(frame[8:])
	for i := range payload {
		payload[i] ^= frame[4+i%4]
	}
	return payload
}
