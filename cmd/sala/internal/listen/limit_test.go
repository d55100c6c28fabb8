package listen

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// hold returns a connection that sends nothinl.
func hold(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc
}

const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// ask sends a request over nc and returns the status line, or how it failed.
func ask(nc net.Conn) string { return send(nc, request) }

// send sends text over nc and returns the first line of what comes back.
func send(nc net.Conn, text string) string {
	_, _ = io.WriteString(nc, text) // reading tells
	answer, err := io.ReadAll(nc)
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return line
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// startLimited serves HTTP behind a limitListener until the test ends.
func startLimited(t *testing.T, connections int64, answer string) *limitListener {
	t.Helper()
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimitListener(bound, limits{connections: connections, answer: answer}, slog.New(slog.DiscardHandler))
	server := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return l
}

// TestConnectionsOverTheLimitAreRejected fills a listener with silent connections. The next client
// is told, and gets in once there is room again.
func TestConnectionsOverTheLimitAreRejected(t *testing.T) {
	l := startLimited(t, 3, rejection)
	silent := []net.Conn{hold(t, l), hold(t, l), hold(t, l)}
	eventually(t, "three are in", func() bool { return l.open.Load() == 3 })
	for range 2 * maxRejections {
		nc := hold(t, l)
		if got := ask(nc); got != "HTTP/1.1 503 Service Unavailable" {
			t.Fatalf("over the limit: %q", got)
		}
		_ = nc.Close()
		eventually(t, "it has gone", func() bool { return len(l.rejector.slots) == 0 })
	}
	if n := l.rejected.Load(); n != 2*maxRejections {
		t.Errorf("%d were counted", n)
	}
	if n := l.open.Load(); n != 3 {
		t.Errorf("%d are open", n)
	}
	_ = silent[0].Close()
	eventually(t, "one is free", func() bool { return l.open.Load() == 2 })
	if got := ask(hold(t, l)); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("in the place that is free: %q", got)
	}
	if got := ask(silent[1]); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("a neighbour: %q", got)
	}
}

// TestRejectionsDoNotBlock has more clients over the limit than can be sent a rejection at the same
// time. None of them reads or leaves.
func TestRejectionsDoNotBlock(t *testing.T) {
	l := startLimited(t, 1, rejection)
	first := hold(t, l)
	eventually(t, "one is in", func() bool { return l.open.Load() == 1 })
	const many = 5 * maxRejections
	for range many {
		hold(t, l)
	}
	eventually(t, "all have been rejected", func() bool { return l.rejected.Load() == many })
	if got := ask(first); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("the one that is in: %q", got)
	}
}

// TestCloseIdle closes silent connections and new ones, and leaves a connection in the middle of a
// request alone.
func TestCloseIdle(t *testing.T) {
	l := startLimited(t, 0, rejection)
	begun := hold(t, l)
	if _, err := io.WriteString(begun, request[:10]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one has been heard", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.open.Load() == 1 && len(l.silent) == 0
	})
	silent := hold(t, l)
	eventually(t, "another is in", func() bool { return l.open.Load() == 2 })
	l.closeIdle()
	for what, nc := range map[string]net.Conn{"a silent one": silent, "one that comes too late": hold(t, l)} {
		if got := send(nc, ""); got != "" {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := send(begun, request[10:]); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("one in the middle of a request: %q", got)
	}
}

// TestRejectionBehindTLS closes without an answer, which a TLS client would take for garbage.
func TestRejectionBehindTLS(t *testing.T) {
	l := startLimited(t, 1, "")
	hold(t, l)
	eventually(t, "one is in", func() bool { return l.open.Load() == 1 })
	if got := ask(hold(t, l)); strings.HasPrefix(got, "HTTP") {
		t.Errorf("it was answered: %q", got)
	}
}

// exhausted is a listener without a free file until it is relieved.
type exhausted struct {
	net.Listener
	attempts atomic.Int64
	relieved atomic.Bool
}

func (e *exhausted) Accept() (net.Conn, error) {
	e.attempts.Add(1)
	if e.relieved.Load() {
		return nil, net.ErrClosed
	}
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
}
func (*exhausted) Addr() net.Addr { return &net.TCPAddr{} }
func (*exhausted) Close() error   { return nil }

func TestAcceptWaitsForFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := 0
		log := slog.NewTextHandler(writer(func() { logged++ }), nil)
		kernel := &exhausted{}
		l := newLimitListener(kernel, limits{}, slog.New(log))
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		<-time.After(time.Minute)
		if n := kernel.attempts.Load(); n < 60 || n > 70 {
			t.Errorf("%d attempts in a minute", n)
		}
		if n := l.exhausted.Load(); n < 60 {
			t.Errorf("%d attempts were counted", n)
		}
		kernel.relieved.Store(true)
		begin := time.Now()
		_ = l.Close()
		if err := <-ended; err != net.ErrClosed {
			t.Error(err)
		}
		if logged < 6 || logged > 7*sampleRecords {
			t.Errorf("%d lines of log in a minute", logged)
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("closing took %s", took)
		}
	})
}

// writer calls a function for each line.
type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }
