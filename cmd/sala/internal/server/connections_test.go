package server

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/config"
	"github.com/salabroker/sala/cmd/sala/internal/listen"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const patience = time.Minute

// hold returns a connection that sends nothing.
func hold(t *testing.T, l *listen.Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", l.Bound())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc
}

// ask sends a request over nc and returns the status line, or how it failed.
func ask(nc net.Conn) string {
	_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") // reading tells
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

// metric returns the value of one of the listener's metrics.
func metric(t *testing.T, l *listen.Listener, name string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(l.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestAnAddressCannotTakeAllConnections fills the share of an address with silent connections, which
// the broker itself doesn't see.
func TestAnAddressCannotTakeAllConnections(t *testing.T) {
	s, err := New(t.Context(), testConfig(t, func(f *config.Flags) { f.MaxConnectionsPerIP = 2 }), slog.New(slog.DiscardHandler), io.Discard, buildinfo.Info{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Stop(t.Context())
	const share = 2 * 3 // each client may have three
	var silent []net.Conn
	for range share {
		silent = append(silent, hold(t, s.public))
	}
	eventually(t, "a share is taken", func() bool { return s.public.Open() == share })
	if got := ask(hold(t, s.public)); got != "HTTP/1.1 503 Service Unavailable" {
		t.Errorf("over the share: %q", got)
	}
	if n := metric(t, s.public, "sala_listener_turned_away_total"); n != 1 {
		t.Errorf("%v were rejected", n)
	}
	_ = silent[0].Close()
	eventually(t, "one is free", func() bool { return s.public.Open() < share })
	if got := ask(hold(t, s.public)); got != "HTTP/1.1 404 Not Found" {
		t.Errorf("in the free place: %q", got)
	}
}

// TestProbesGetThrough floods the control listeners with connections that show no key. Probes are
// still answered, and callers stay connected.
func TestProbesGetThrough(t *testing.T) {
	const share, flood = 384, 1024 // an address may have so many, and attempts so many
	s := newTestServer(t)
	s.Start()
	defer s.Stop(t.Context())

	callers := &http.Client{Transport: &http.Transport{}}
	defer callers.CloseIdleConnections()
	get := func(client *http.Client, path string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.http.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+s.cfg.DevKey)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode
	}
	if code := get(callers, "/v1/rooms"); code != http.StatusOK {
		t.Fatalf("a caller: %d", code)
	}
	conn, err := grpc.NewClient(s.grpc.HostPort(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.cfg.DevKey)
	stream, err := salav1.NewMessageServiceClient(conn).EmitStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exchange := func() error {
		if err := stream.Send(&salav1.EmitStreamRequest{Emit: &salav1.EmitRequest{Rooms: []string{"a"}, Event: "e"}}); err != nil {
			return err
		}
		_, err := stream.Recv()
		return err
	}
	if err := exchange(); err != nil {
		t.Fatalf("a stream: %v", err)
	}

	for l, says := range map[*listen.Listener]string{s.http: "GET / HTTP/1.1\r\nHost: x\r\n", s.grpc: http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"} {
		for range flood {
			_, _ = io.WriteString(hold(t, l), says) // it may have been closed already
		}
		eventually(t, "the oldest are closed", func() bool {
			waiting, evicted := metric(t, l, "sala_listener_keyless_connections"), metric(t, l, "sala_listener_keyless_closed_total")
			return waiting <= share && evicted >= flood-share
		})

	}
	if code := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	probe, err := grpc.NewClient(s.grpc.HostPort(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = probe.Close() }()
	if _, err := grpc_health_v1.NewHealthClient(probe).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Errorf("the health check: %v", err)
	}
	if err := exchange(); err != nil {
		t.Errorf("the stream, afterwards: %v", err)
	}
	if code := get(callers, "/v1/rooms"); code != http.StatusOK {
		t.Errorf("the caller, afterwards: %d", code)
	}
}
