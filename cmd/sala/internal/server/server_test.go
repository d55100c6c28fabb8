package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(t *testing.T, change func(*config.Flags)) *config.Config {
	t.Helper()
	flags := &config.Flags{
		Dev: true, Listen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", MaxMessage: 1_000_000, MaxRooms: 1000, MaxAttachments: 64, MaxQueue: 1 << 20, MaxToken: 8192, SocketPath: "/socket.io/", SlowConsumers: "disconnect",
		PingInterval: time.Second, PingTimeout: time.Second, ConnectTimeout: time.Second, DrainTimeout: time.Second,
		AckTimeout: time.Second, DecideTimeout: time.Second, DecideDefault: "refuse",
	}
	if change != nil {
		change(flags)
	}
	cfg, err := flags.Build()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func newTestServer(t *testing.T) *Server {
	t.Helper()
	s, err := New(t.Context(), testConfig(t, nil), slog.New(slog.DiscardHandler), io.Discard, buildinfo.Info{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestListenerFails closes each listener under the server. The server stops and names it.
func TestListenerFails(t *testing.T) {
	for flag, pick := range map[string]func(*Server) *listen.Listener{
		"--listen":      func(s *Server) *listen.Listener { return s.public },
		"--grpc-listen": func(s *Server) *listen.Listener { return s.grpc },
		"--http-listen": func(s *Server) *listen.Listener { return s.http },
	} {
		s := newTestServer(t)
		s.Start()
		_ = pick(s).Close()
		err := s.Run(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "the listener of "+flag+" failed") {
			t.Errorf("%s: Run returned %v", flag, err)
		}
	}
}

func TestRunReturnsWhenAsked(t *testing.T) {
	s := newTestServer(t)
	s.Start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx, nil); err != nil {
		t.Error(err)
	}
}

// TestStopWithoutStart frees what New has bound.
func TestStopWithoutStart(t *testing.T) {
	s := newTestServer(t)
	addresses := []string{s.public.HostPort(), s.grpc.HostPort(), s.http.HostPort()}
	s.Stop(t.Context())
	s.Stop(t.Context())
	expectFree(t, addresses)
}

// TestStopDoesNotWaitForTheSilent has a silent connection to each listener, as browsers open in
// advance and port scanners do.
func TestStopDoesNotWaitForTheSilent(t *testing.T) {
	var lines bytes.Buffer
	s, err := New(t.Context(), testConfig(t, nil), slog.New(slog.NewTextHandler(&lines, nil)), io.Discard, buildinfo.Info{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	for _, l := range []*listen.Listener{s.public, s.grpc, s.http} {
		hold(t, l)
		eventually(t, "it is in", func() bool { return l.Open() == 1 })
	}
	s.Stop(t.Context())
	if strings.Contains(lines.String(), "did not stop gracefully") {
		t.Error(lines.String())
	}
}

// TestStopLeavesWhatDoesNotEnd has parts that ignore their limits. The others still stop, and the log
// names the ones that don't.
func TestStopLeavesWhatDoesNotEnd(t *testing.T) {
	lines := &lockedBuffer{}
	s, err := New(t.Context(), testConfig(t, nil), slog.New(slog.NewTextHandler(lines, nil)), io.Discard, buildinfo.Info{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	release := make(chan struct{})
	defer close(release)
	hang := func(context.Context) error { <-release; return nil }
	began := make(chan struct{})
	s.steps = slices.Insert(s.steps, 0, step{"last", stopGrace, func(context.Context) error { close(began); return nil }})
	s.steps = slices.Insert(s.steps, len(s.steps)-2, step{"middle", stopGrace, hang})
	s.onStop("first", stopGrace, hang)
	s.Stop(t.Context())
	select {
	case <-began:
	default:
		t.Error("a part behind those that hang has had no turn")
	}
	log := lines.String()
	for _, want := range []string{`parts="first, middle"`, "connections=0", "sockets=0", "calls=0", "streams=0", "tcp_public=0", "goroutines="} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}

// lockedBuffer is a buffer that abandoned parts may still write to.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestNewUndoesWhatItBegan(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := probe.Addr().String()
	_ = probe.Close()
	cfg := testConfig(t, func(f *config.Flags) { f.Listen, f.Namespaces = free, config.List{"bad"} })
	_, err = New(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard, buildinfo.Info{})
	var wrong *config.Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "namespaces[0]") {
		t.Errorf("the error is %v, want a *config.Error", err)
	}
	expectFree(t, []string{free})
}

func expectFree(t *testing.T, addresses []string) {
	t.Helper()
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Errorf("%s was not freed: %v", address, err)
			continue
		}
		_ = l.Close()
	}
}

func TestCheckListensNowhere(t *testing.T) {
	cfg := testConfig(t, func(f *config.Flags) { f.Listen = "192.0.2.1:3000" })
	if err := Check(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}

func TestPrintDevFailsWithItsOutput(t *testing.T) {
	s := newTestServer(t)
	defer s.Stop(t.Context())
	reader, writer := io.Pipe()
	_ = reader.Close()
	if err := s.PrintDev(writer); err == nil {
		t.Error("the error was lost")
	}
}
