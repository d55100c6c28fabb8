package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/salabroker/sala/broker/tracing"
)

func TestMain(m *testing.M) {
	// The environment of whoever runs the tests configures nothing.
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// traced is a process with traces.
type traced struct {
	*Traces
	t   *testing.T
	log *lockedBuffer
}

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

// start starts traces with variables of the environment.
func start(t *testing.T, variables map[string]string) *traced {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	log := &lockedBuffer{}
	traces, err := New(t.Context(), Options{Version: "v1", Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	p := &traced{traces, t, log}
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) }) // for tests that fail
	return p
}

func (p *traced) span(name string) {
	_, span := p.Tracer().Start(context.Background(), name, tracing.Options{})
	span.End()
}

// await waits for a state that will come.
func (p *traced) await(what string, reached func() bool) {
	p.t.Helper()
	deadline := time.After(20 * time.Second)
	for !reached() {
		select {
		case <-deadline:
			p.t.Fatalf("never: %s\n%s", what, p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p *traced) dropped() (full, failed float64) {
	return testutil.ToFloat64(p.sender.full), testutil.ToFloat64(p.sender.failed)
}

func TestProtocols(t *testing.T) {
	for _, protocol := range []string{"", protocolHTTP, protocolGRPC} {
		for _, compression := range []string{"", "gzip"} {
			t.Run(protocol+" "+compression, func(t *testing.T) {
				c := newCollector()
				url := ""
				if protocol == protocolGRPC {
					url = c.serveGRPC(t)
				} else {
					url = c.serveHTTP(t)
				}
				p := start(t, map[string]string{
					"OTEL_EXPORTER_OTLP_ENDPOINT":    url,
					"OTEL_EXPORTER_OTLP_PROTOCOL":    protocol,
					"OTEL_EXPORTER_OTLP_HEADERS":     "x-tenant=a%20b",
					"OTEL_EXPORTER_OTLP_COMPRESSION": compression,
					"OTEL_SERVICE_NAME":              "chat",
					"OTEL_RESOURCE_ATTRIBUTES":       "deployment.environment.name=staging,service.name=other",
				})
				p.span("emit")
				if err := p.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(c.names(), " "); got != "emit" {
					t.Errorf("the spans are %q", got)
				}
				if strings.Join(c.headers, " ") != "a b" {
					t.Errorf("the headers are %q", c.headers)
				}
				r := c.resource()
				if r["service.name"] != "chat" || r["service.version"] != "v1" || r["deployment.environment.name"] != "staging" || r["host.name"] == "" {
					t.Errorf("the resource is %v", r)
				}
				if testutil.ToFloat64(p.sender.sent) != 1 {
					t.Error("the span isn't counted")
				}
			})
		}
	}
}

func TestSampling(t *testing.T) {
	for sampler, want := range map[string]int{"": 10, "always_off": 0, "parentbased_always_on": 10, "traceidratio": 0} {
		t.Run(sampler, func(t *testing.T) {
			c := newCollector()
			p := start(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": c.serveHTTP(t), "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0",
			})
			for range 10 {
				p.span("emit")
			}
			if err := p.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(c.names()); got != want {
				t.Errorf("%d spans came, not %d", got, want)
			}
		})
	}
}

// TestCollectorIsAway starts without a collector that takes spans, and gets one.
func TestCollectorIsAway(t *testing.T) {
	c := newCollector()
	c.set(true, nil)
	p := start(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.serveHTTP(t), "OTEL_BSP_SCHEDULE_DELAY": "10"})
	for i := range 3 {
		p.span("lost")
		p.await("the span is lost", func() bool { _, failed := p.dropped(); return failed == float64(i+1) })
	}
	p.await("it is logged", func() bool { return strings.Contains(p.log.String(), "doesn't take spans") })
	c.set(false, nil)
	p.span("kept")
	p.await("the span comes", func() bool { return strings.Join(c.names(), " ") == "kept" })
	p.await("it is logged", func() bool { return strings.Contains(p.log.String(), "takes spans again") })
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(p.log.String(), "doesn't take spans"); n != 1 {
		t.Errorf("three batches made %d lines:\n%s", n, p.log)
	}
}

// TestNothingListens: nothing is there at all, over both protocols.
func TestNothingListens(t *testing.T) {
	for _, protocol := range []string{protocolHTTP, protocolGRPC} {
		t.Run(protocol, func(t *testing.T) {
			p := start(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_EXPORTER_OTLP_TIMEOUT": "50", "OTEL_BSP_SCHEDULE_DELAY": "10",
			})
			p.span("lost")
			p.await("the span is lost", func() bool { _, failed := p.dropped(); return failed == 1 })
			if err := p.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCollectorIsSlow: what doesn't fit into the queue is counted, and nobody waits.
func TestCollectorIsSlow(t *testing.T) {
	c, wait := newCollector(), make(chan struct{})
	c.set(false, wait)
	p := start(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.serveHTTP(t), "OTEL_BSP_MAX_QUEUE_SIZE": "5", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
	})
	for range 12 {
		p.span("emit")
	}
	if full, failed := p.dropped(); full != 7 || failed != 0 {
		t.Errorf("%v spans found the queue full, and %v failed; want 7 and 0", full, failed)
	}
	close(wait)
	p.await("the spans come", func() bool { return len(c.names()) == 5 })
	p.span("emit") // there is room again
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(c.names()); n != 6 {
		t.Errorf("%d spans came, not 6", n)
	}
}

// TestShutdownEnds: a collector that hangs delays the end by no more than the time that there is.
func TestShutdownEnds(t *testing.T) {
	for _, protocol := range []string{protocolHTTP, protocolGRPC} {
		t.Run(protocol, func(t *testing.T) {
			c, wait := newCollector(), make(chan struct{})
			c.set(false, wait)
			url := ""
			if protocol == protocolGRPC {
				url = c.serveGRPC(t)
			} else {
				url = c.serveHTTP(t)
			}
			defer close(wait)
			p := start(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
			p.span("emit")
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- p.Shutdown(ctx) }()
			<-c.arrived
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

func TestOff(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"nothing":                 {},
		"no exporter":             {"OTEL_SERVICE_NAME": "sala", "OTEL_TRACES_SAMPLER": "nonsense"},
		"the exporter is none":    {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"},
		"the SDK is disabled":     {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "nonsense"},
		"an endpoint for metrics": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:4318"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, variables)
			if p.Traces != nil || p.Tracer() != nil {
				t.Error("traces are on")
			}
		})
	}
}
