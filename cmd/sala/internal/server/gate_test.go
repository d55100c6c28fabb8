package server

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

	"github.com/salabroker/sala/cmd/sala/internal/config"
)

const patience = 10 * time.Second

// hold returns a connection to a gate that says nothing.
func hold(t *testing.T, g *gate) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", g.Addr().String())
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

// startGate serves HTTP behind a gate until the test ends.
func startGate(t *testing.T, places int64, words string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(l, gateOptions{places: places, farewell: words, log: slog.New(slog.DiscardHandler)})
	server := &http.Server{Handler: http.NotFoundHandler()}
	done := make(chan error)
	go func() { done <- server.Serve(g) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return g
}

// TestGateTurnsAway fills a gate with connections that say nothing: whoever
// comes next is told, and gets in once there is a place again.
func TestGateTurnsAway(t *testing.T) {
	g := startGate(t, 3, farewell)
	silent := []net.Conn{hold(t, g), hold(t, g), hold(t, g)}
	eventually(t, "three are in", func() bool { return g.open.Load() == 3 })
	for range 2 * maxFarewells {
		nc := hold(t, g)
		if got := ask(nc); got != "HTTP/1.1 503 Service Unavailable" {
			t.Fatalf("above the limit: %q", got)
		}
		_ = nc.Close()
		eventually(t, "it has gone", func() bool { return len(g.farewells) == 0 })
	}
	if n := g.turned.Load(); n != 2*maxFarewells {
		t.Errorf("%d were counted", n)
	}
	if n := g.open.Load(); n != 3 {
		t.Errorf("%d are open", n)
	}
	_ = silent[0].Close()
	eventually(t, "one is free", func() bool { return g.open.Load() == 2 })
	if got := ask(hold(t, g)); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("in the place that is free: %q", got)
	}
	if got := ask(silent[1]); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("a neighbour: %q", got)
	}
}

// TestGateDoesNotWaitForThoseItTurnsAway has more clients above the limit than
// may be told at once, none of which reads or leaves.
func TestGateDoesNotWaitForThoseItTurnsAway(t *testing.T) {
	g := startGate(t, 1, farewell)
	first := hold(t, g)
	eventually(t, "one is in", func() bool { return g.open.Load() == 1 })
	const many = 5 * maxFarewells
	for range many {
		hold(t, g)
	}
	eventually(t, "all have been turned away", func() bool { return g.turned.Load() == many })
	if got := ask(first); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("the one that is in: %q", got)
	}
}

// TestAnAddressCannotTakeAllPlaces fills the share of an address with
// connections that say nothing, of which the broker knows nothing.
func TestAnAddressCannotTakeAllPlaces(t *testing.T) {
	s, err := New(t.Context(), testConfig(t, func(f *config.Flags) { f.MaxConnectionsPerIP = 2 }), slog.New(slog.DiscardHandler), io.Discard, "test")
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Stop(t.Context())
	g := s.public.gate
	var silent []net.Conn
	for range 2 * transports {
		silent = append(silent, hold(t, g))
	}
	eventually(t, "a share is taken", func() bool { return g.open.Load() == 2*transports })
	if got := ask(hold(t, g)); got != "HTTP/1.1 503 Service Unavailable" {
		t.Errorf("above the share: %q", got)
	}
	if n := g.turned.Load(); n != 1 {
		t.Errorf("%d were turned away", n)
	}
	_ = silent[0].Close()
	eventually(t, "one is free", func() bool { return g.open.Load() < 2*transports })
	if got := ask(hold(t, g)); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("in the place that is free: %q", got)
	}
}

// TestGateHurries has a server end: those that have sent nothing, and those
// that come now, aren't waited for, and who is in the middle of a request is.
func TestGateHurries(t *testing.T) {
	g := startGate(t, 0, farewell)
	begun := hold(t, g)
	if _, err := io.WriteString(begun, request[:10]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one has been heard", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.open.Load() == 1 && len(g.silent) == 0
	})
	silent := hold(t, g)
	eventually(t, "another is in", func() bool { return g.open.Load() == 2 })
	g.hurry()
	for what, nc := range map[string]net.Conn{"a silent one": silent, "one that comes too late": hold(t, g)} {
		if got := send(nc, ""); got != "" {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := send(begun, request[10:]); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("one in the middle of a request: %q", got)
	}
}

// TestGateBehindTLS closes without a word, which TLS would take for garbage.
func TestGateBehindTLS(t *testing.T) {
	g := startGate(t, 1, "")
	hold(t, g)
	eventually(t, "one is in", func() bool { return g.open.Load() == 1 })
	if got := ask(hold(t, g)); strings.HasPrefix(got, "HTTP") {
		t.Errorf("it was answered: %q", got)
	}
}

// exhausted is a listener that has no file for anyone until it is relieved.
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

func TestGateWaitsForFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged := 0
		log := slog.NewTextHandler(writer(func() { logged++ }), nil)
		l := &exhausted{}
		g := newGate(l, gateOptions{log: slog.New(newSparse(log))})
		ended := make(chan error)
		go func() {
			_, err := g.Accept()
			ended <- err
		}()
		<-time.After(time.Minute)
		if n := l.attempts.Load(); n < 60 || n > 70 {
			t.Errorf("%d attempts in a minute", n)
		}
		if n := g.exhausted.Load(); n < 60 {
			t.Errorf("%d attempts were counted", n)
		}
		l.relieved.Store(true)
		begin := time.Now()
		_ = g.Close()
		if err := <-ended; err != net.ErrClosed {
			t.Error(err)
		}
		if logged < 6 || logged > 7*sparseLines {
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

func TestSparse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		log := slog.New(newSparse(slog.NewTextHandler(&text, nil))).With("a", 1)
		for range sparseLines + 90 {
			log.Info("x")
		}
		if n := strings.Count(text.String(), "\n"); n != sparseLines {
			t.Errorf("%d lines, want %d", n, sparseLines)
		}
		<-time.After(sparseInterval)
		text.Reset()
		log.Info("y")
		log.Info("z")
		if got := text.String(); strings.Count(got, "\n") != 2 || strings.Count(got, "left_out_before=90") != 1 {
			t.Errorf("an interval later: %s", got)
		}
	})
}

func TestPlacesFor(t *testing.T) {
	for files, want := range map[int64]int64{100: 50, 256: 192, 1024: 922, 20_000: 18_976, 1 << 30: 1<<30 - 1024} {
		if got := placesFor(files); got != want {
			t.Errorf("%d files: %d places, want %d", files, got, want)
		}
	}
}
