package server

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/salabroker/sala/cmd/sala/internal/buildinfo"
	"github.com/salabroker/sala/cmd/sala/internal/config"
)

// TestMetricsListener has metrics on a listener of their own, and nothing of the
// API there.
func TestMetricsListener(t *testing.T) {
	cfg := testConfig(t, func(f *config.Flags) { f.MetricsListen = "127.0.0.1:0" })
	s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard, buildinfo.Info{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Stop(t.Context())
	for url, want := range map[string]int{
		s.metrics.URL() + "/metrics":      http.StatusOK,
		s.metrics.URL() + "/livez":        http.StatusOK,
		s.metrics.URL() + "/readyz":       http.StatusOK,
		s.metrics.URL() + "/v1/rooms":     http.StatusNotFound,
		s.metrics.URL() + "/openapi.json": http.StatusNotFound,
		s.metrics.URL() + "/":             http.StatusNotFound,
		s.http.URL() + "/livez":           http.StatusOK,
		s.http.URL() + "/metrics":         http.StatusNotFound,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+cfg.DevKey)
		request.Close = true
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", url, response.StatusCode, want)
		}
	}
}

// A scraper gets the format that it asks for: text, OpenMetrics, or the protobufs that carry native
// histograms.
func TestMetricsFormats(t *testing.T) {
	cfg := testConfig(t, func(f *config.Flags) { f.MetricsListen = "127.0.0.1:0" })
	s, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard, buildinfo.Info{Version: "v1.2.3", Commit: "c0ffee", Go: "go1.2"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Stop(t.Context())
	for accept, want := range map[string]struct{ kind, body string }{
		"":                             {"text/plain; version=0.0.4", `sala_build_info{goversion="go1.2",revision="c0ffee",version="v1.2.3"} 1`},
		"application/openmetrics-text": {"application/openmetrics-text; version=0.0.1", "# EOF\n"},
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": {"application/vnd.google.protobuf", "sala_emit_duration_seconds"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.metrics.URL()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", accept)
		request.Close = true
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), want.kind) || !strings.Contains(string(body), want.body) {
			t.Errorf("Accept %q: %s, %v; no %q in it", accept, response.Header.Get("Content-Type"), err, want.body)
		}
	}
}
