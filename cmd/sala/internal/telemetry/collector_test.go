package telemetry

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// fakeCollector takes spans over gRPC and HTTP.
type fakeCollector struct {
	collector.UnimplementedTraceServiceServer
	arrived chan struct{} // has room for each export

	mu      sync.Mutex
	taken   []*spans.ResourceSpans
	headers []string // the header "x-tenant" of each export
	refuses bool
	wait    chan struct{} // exports wait until it is closed; nil if they don't
}

func newCollector() *fakeCollector { return &fakeCollector{arrived: make(chan struct{}, 10_000)} }

func (c *fakeCollector) set(refuses bool, wait chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses, c.wait = refuses, wait
}

func (c *fakeCollector) take(ctx context.Context, tenant string, r *collector.ExportTraceServiceRequest) bool {
	c.mu.Lock()
	wait := c.wait
	c.mu.Unlock()
	c.arrived <- struct{}{}
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuses {
		return false
	}
	c.taken = append(c.taken, r.GetResourceSpans()...)
	c.headers = append(c.headers, tenant)
	return true
}

// names returns the names of the spans that have come.
func (c *fakeCollector) names() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.taken {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				names = append(names, span.GetName())
			}
		}
	}
	return names
}

// resource returns what the last export says of the process, by name.
func (c *fakeCollector) resource() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]string)
	if len(c.taken) > 0 {
		for _, a := range c.taken[len(c.taken)-1].GetResource().GetAttributes() {
			all[a.GetKey()] = a.GetValue().GetStringValue()
		}
	}
	return all
}

// Export implements collector.TraceServiceServer.
func (c *fakeCollector) Export(ctx context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	tenant := ""
	if values := md.Get("x-tenant"); len(values) > 0 {
		tenant = values[0]
	}
	if !c.take(ctx, tenant, r) {
		return nil, status.Error(codes.InvalidArgument, "no room for spans")
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP implements http.Handler.
func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	request := &collector.ExportTraceServiceRequest{}
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(raw, request) != nil || !c.take(r.Context(), r.Header.Get("X-Tenant"), request) {
		w.WriteHeader(http.StatusBadRequest)
	}
}

// serveHTTP serves the collector until the test ends and returns its URL.
func (c *fakeCollector) serveHTTP(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return server.URL
}

// serveGRPC serves the collector until the test ends and returns its URL.
func (c *fakeCollector) serveGRPC(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}
