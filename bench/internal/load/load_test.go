package load

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

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
)

// fakeServer is a server like the floor, which handles its messages as a test likes.
type fakeServer struct {
	listen, control string
	accepted        atomic.Int64
	refuse          func(n int64) bool // whether to hang up on the nth connection
	hangUp          int                // which client to hang up on behind its first batch; 0 for none
	served          sync.WaitGroup
	mu              sync.Mutex
	closed          bool
	conns           []net.Conn
}

// newFakeServer starts a server that sends to each client, of which it gets the number, what deliver makes of a batch.
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

// close ends all connections, and those whose handshake isn't over yet: httptest doesn't wait for hijacked ones.
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

// acknowledge answers every other event of a client with what it brings, and all others with nothing.
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
		event := unmask(frame)[4:]
		answer := []byte("430[]")
		if n%2 == 0 {
			answer = bytes.Replace(event, []byte("42"), []byte("43"), 1)
		}
		_, _ = conn.Write(serverFrame(answer))
	}
}

func (s *fakeServer) job(kind job.Kind) *job.Job {
	return &job.Job{
		Kind:    kind,
		Target:  job.Target{Protocol: job.Floor, PID: os.Getpid(), Listen: s.listen, Control: s.control},
		Clients: 20,
		Batch:   10,
		Batches: 5,

		Patience: 10 * time.Second,
	}
}

func nobody(int64) bool { return false }

func all(_ int, batch []line.Message) []line.Message { return batch }

func run(t *testing.T, j *job.Job) job.Figures {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := Run(ctx, j, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDeliverCountsWhatArrives(t *testing.T) {
	s := newFakeServer(t, nobody, all)
	f := run(t, s.job(job.Deliver))
	wanted := job.Figures{job.Deliveries: 20 * 10 * 5, job.Missing: 0, job.Disorder: 0, job.Lost: 0, job.Gone: 0}
	for name, want := range wanted {
		if f[name] != want {
			t.Errorf("%s is %v, want %v", name, f[name], want)
		}
	}
	if f[job.P50] <= 0 || f[job.P99] < f[job.P50] || f[job.Max] < f[job.P99] || f[job.CPU] <= 0 {
		t.Errorf("these figures can't be: %v", f)
	}
}

func TestDeliverSeesMessagesOutOfOrder(t *testing.T) {
	swapped := false
	s := newFakeServer(t, nobody, func(client int, batch []line.Message) []line.Message {
		if client != 7 || swapped || len(batch) < 2 {
			return batch
		}
		swapped = true
		return append([]line.Message{batch[1], batch[0]}, batch[2:]...)
	})
	if f := run(t, s.job(job.Deliver)); f[job.Disorder] != 1 || f[job.Missing] != 0 {
		t.Errorf("one of two messages came too late: got %v", f)
	}
}

func TestDeliverSeesMissingMessages(t *testing.T) {
	s := newFakeServer(t, nobody, func(client int, batch []line.Message) []line.Message {
		if client == 3 {
			return nil
		}
		return batch
	})
	j := s.job(job.Deliver)
	j.Patience = 200 * time.Millisecond
	if f := run(t, j); f[job.Missing] != 10*5 || f[job.Deliveries] != 19*10*5 {
		t.Errorf("one of 20 clients got nothing: got %v", f)
	}
}

func TestDeliverMissesWhatAClientThatHasGoneDoesNotGet(t *testing.T) {
	s := newFakeServer(t, nobody, all)
	s.hangUp = 3
	j := s.job(job.Deliver)
	j.Patience = 200 * time.Millisecond
	// The first of its five batches has arrived, but nobody can tell any more: all that it should have had is missing.
	if f := run(t, j); f[job.Gone] != 1 || f[job.Missing] != 10*5 {
		t.Errorf("the server hung up on one of 20: got %v", f)
	}
}

func TestConnectCountsLostConnections(t *testing.T) {
	s := newFakeServer(t, func(n int64) bool { return n == 4 || n == 9 }, all)
	if f := run(t, s.job(job.Connect)); f[job.Lost] != 2 || f[job.Connects] != 20 {
		t.Errorf("the server hung up on 2 of 20: got %v", f)
	}
}

func TestDeliverReplacesLostConnections(t *testing.T) {
	s := newFakeServer(t, func(n int64) bool { return n == 4 || n == 9 }, all)
	if f := run(t, s.job(job.Deliver)); f[job.Lost] != 2 || f[job.Missing] != 0 || f[job.Deliveries] != 20*10*5 {
		t.Errorf("the server hung up on 2 of 22: got %v", f)
	}
}

func TestEventsCountsAcks(t *testing.T) {
	s := newFakeServer(t, nobody, all)
	j := s.job(job.Events)
	j.Clients, j.Every, j.Events, j.InFlight = 10, time.Millisecond, 40, 20
	j.Patience = 200 * time.Millisecond
	f := run(t, j)
	// 10 clients have sent 5 batches of 10 events, of which each client's second and fourth had no proper ack; and 40 more.
	if f[job.Missing] != 2*10+20 || f[job.Rate] <= 0 || f[job.P99] < f[job.P50] || f[job.CPU] <= 0 {
		t.Errorf("every other event had an ack without its argument: got %v", f)
	}
}
