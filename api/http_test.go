package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salabroker/sala/api/apierror"
	"github.com/salabroker/sala/api/auth"
)

func TestOpenAPI(t *testing.T) {
	h := start(t, &fakeBroker{})
	status, header, text := h.do(t, "GET", "/openapi.json", "", func(r *http.Request) { r.Header.Del("Authorization") })
	if status != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d as %s", status, header.Get("Content-Type"))
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Paths["/v1/rooms/{room}:clear"]["post"] == nil {
		t.Errorf("OpenAPI %q with %d paths", doc.OpenAPI, len(doc.Paths))
	}
}

func TestLiveAndReady(t *testing.T) {
	var reason, alone atomic.Pointer[string]
	says := func(reason *atomic.Pointer[string]) func() error {
		return func() error {
			if why := reason.Load(); why != nil {
				return errors.New(*why)
			}
			return nil
		}
	}
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Ready, cfg.Reaches = says(&reason), says(&alone) })
	want := func(path string, status int, body string) {
		t.Helper()
		got, _, text := h.do(t, "GET", path, "", func(r *http.Request) { r.Header.Del("Authorization") })
		if got != status || text != body {
			t.Errorf("GET %s: %d %q, want %d %q", path, got, text, status, body)
		}
	}
	want("/livez", 200, "ok\n")
	want("/readyz", 200, "ok\n")
	want("/readyz?local=1", 200, "ok\n")
	isolated := "the node is isolated"
	alone.Store(&isolated)
	want("/livez", 200, "ok\n")
	want("/readyz", 503, "the node is isolated\n")
	want("/readyz?local=0", 503, "the node is isolated\n")
	want("/readyz?local=1", 200, "ok\n")
	draining := "the node is draining"
	reason.Store(&draining)
	want("/livez", 200, "ok\n")
	want("/readyz", 503, "the node is draining\n")
	want("/readyz?local=1", 503, "the node is draining\n")
	if status, _, text := h.do(t, "HEAD", "/livez", ""); status != 200 || text != "" {
		t.Errorf("HEAD /livez: %d %q", status, text)
	}
}

func TestMetrics(t *testing.T) {
	h := start(t, &fakeBroker{})
	h.do(t, "GET", "/v1/rooms", "")
	h.do(t, "GET", "/v1/rooms", "")
	h.do(t, "GET", "/v1/rooms", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") })
	_, _, text := h.do(t, "GET", "/metrics", "", func(r *http.Request) { r.Header.Del("Authorization") })
	for _, line := range []string{
		`sala_rpc_duration_seconds_count{code="OK",method="sala.v1.RoomService/ListRooms"} 2`,
		`sala_rpc_duration_seconds_count{code="UNAUTHENTICATED",method="REST"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("/metrics lacks %s in\n%s", line, text)
		}
	}
	none := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Gatherer = nil; cfg.Metrics = nil })
	wantRESTError(t, none, "GET", "/metrics", "", 404, apierror.ReasonPathNotFound, "/metrics")
}

func TestMetricsRegisteredTwice(t *testing.T) {
	h := start(t, &fakeBroker{})
	_, err := New(Config{Broker: &fakeBroker{}, Keys: []auth.Key{mustKey(t, "k")}, MaxMessageBytes: 1, Metrics: h.metrics})
	if err == nil {
		t.Error("New ignores that its metrics can't be registered")
	}
}

func TestConsole(t *testing.T) {
	console := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "script-src 'self'")
		_, _ = w.Write([]byte("console " + r.URL.Path))
	})
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Console = console; cfg.Version = "1.2.3" })
	for _, path := range []string{"/", "/console.js"} {
		status, header, text := h.do(t, "GET", path, "")
		if status != 200 || text != "console "+path || header.Get("Content-Security-Policy") != "script-src 'self'" {
			t.Errorf("GET %s: %d %q %v", path, status, text, header)
		}
	}
	// The API keeps its paths.
	if status, _, _ := h.do(t, "GET", "/v1/rooms", ""); status != 200 {
		t.Errorf("GET /v1/rooms: %d", status)
	}
	wantRESTError(t, h, "GET", "/v1/nothing", "", 404, apierror.ReasonPathNotFound, "/v1/nothing")
}

func TestHeaders(t *testing.T) {
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Version = "1.2.3" })
	for _, path := range []string{"/v1/rooms", "/openapi.json", "/livez", "/metrics", "/nothing"} {
		_, header, _ := h.do(t, "GET", path, "")
		for name, want := range map[string]string{
			"Server":                  "sala/1.2.3",
			"X-Content-Type-Options":  "nosniff",
			"X-Frame-Options":         "DENY",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-store",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("GET %s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

// HEAD answers as GET does, without the body, and 405 says which methods there are.
func TestMethods(t *testing.T) {
	b := &fakeBroker{}
	h := start(t, b)
	for _, path := range []string{"/v1/rooms", "/v1/rooms/a", "/v1/rooms/a%2Fb", "/v1/sockets", "/v1/sockets/s", "/v1/nodes", "/openapi.json", "/livez", "/readyz", "/metrics"} {
		getStatus, getHeader, _ := h.do(t, "GET", path, "")
		status, header, text := h.do(t, "HEAD", path, "")
		if status != 200 || status != getStatus || text != "" || header.Get("Content-Type") != getHeader.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %q as %s; GET has %d", path, status, text, header.Get("Content-Type"), getStatus)
		}
	}
	if status, _, _ := h.do(t, "HEAD", "/v1/nothing", ""); status != 404 {
		t.Errorf("HEAD of nothing: %d", status)
	}
	b.take()
	for _, tt := range []struct{ method, path, allow string }{
		{"GET", "/v1/emit", "POST"},
		{"HEAD", "/v1/emit", "POST"},
		{"PUT", "/v1/emit:batch", "POST"},
		{"OPTIONS", "/v1/tokens", "POST"},
		{"POST", "/v1/rooms", "GET, HEAD"},
		{"PATCH", "/v1/rooms/a", "DELETE, GET, HEAD"},
		{"POST", "/v1/rooms/a%2Fb", "DELETE, GET, HEAD"},
		{"PUT", "/v1/rooms/a:clear", "DELETE, GET, HEAD, POST"}, // a:clear is a room's name too
		{"DELETE", "/v1/sockets/s", "GET, HEAD"},
		{"PUT", "/v1/nodes/n:drain", "POST"},
		{"POST", "/livez", "GET, HEAD"},
		{"DELETE", "/metrics", "GET, HEAD"},
	} {
		status, header, text := h.do(t, tt.method, tt.path, "")
		if got := header.Get("Allow"); status != 405 || got != tt.allow || tt.method != "HEAD" && !strings.Contains(text, apierror.ReasonMethodNotAllowed) {
			t.Errorf("%s %s: %d %s, Allow: %q, want %q", tt.method, tt.path, status, text, got, tt.allow)
		}
	}
	if calls := b.take(); calls != nil {
		t.Errorf("the broker was asked: %v", calls)
	}
}

// Proxies must pass on answers as they come, not all at the end.
func TestStreamsAreNotBuffered(t *testing.T) {
	h := start(t, &fakeBroker{})
	for path, want := range map[string]string{"/v1/emit:ack": "no", "/v1/emit": ""} {
		status, header, _ := h.do(t, "POST", path, `{"rooms":["a"],"event":"e"}`)
		if got := header.Get("X-Accel-Buffering"); status != 200 || got != want {
			t.Errorf("%s: %d, X-Accel-Buffering: %q, want %q", path, status, got, want)
		}
	}
}

// A panic is answered like any other error, unless an answer has begun.
func TestPanics(t *testing.T) {
	console := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
		}
		panic("a secret")
	})
	h := start(t, &fakeBroker{}, func(cfg *Config) { cfg.Console = console })
	wantRESTError(t, h, "GET", "/", "", 500, "INTERNAL", "the broker failed")
	if log := h.log.take(); !strings.Contains(log, "panic: a value of type string") || strings.Contains(log, "a secret") {
		t.Errorf("the log says %s", log)
	}
	resp, err := h.rest.Client().Get(h.rest.URL + "/late")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("half an answer ends well, with %q", text)
	}
}

// A request that net/http can't parse is answered like any other bad request.
func TestErrorsOfTheServerItself(t *testing.T) {
	h := start(t, &fakeBroker{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h.server.HTTPHandler(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ExplainHTTPErrors(listener)) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	for name, tt := range map[string]struct {
		request      string
		status       int
		reason, says string
	}{
		"a bad escape":        {"GET /v1/rooms/50% HTTP/1.1\r\nHost: x\r\n\r\n", 400, "INVALID_ARGUMENT", "%25"},
		"a space":             {"GET /v1/rooms/a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "INVALID_ARGUMENT", "%20"},
		"no host":             {"GET /v1/rooms HTTP/1.1\r\n\r\n", 400, "INVALID_ARGUMENT", "missing required Host header"},
		"no HTTP":             {"hello\r\n\r\n", 400, "INVALID_ARGUMENT", "not valid HTTP"},
		"an unknown encoding": {"POST /v1/emit HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n", 501, "UNIMPLEMENTED", "not implemented"},
		"an unknown version":  {"GET /v1/rooms HTTP/3.7\r\nHost: x\r\n\r\n", 505, "UNIMPLEMENTED", "version"},
		"no key":              {"GET /v1/rooms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 401, apierror.ReasonAPIKeyRequired, "Bearer"},
	} {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, tt.request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var failed restError
		err = json.NewDecoder(resp.Body).Decode(&failed)
		if err != nil || resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "application/json" ||
			failed.reason() != tt.reason || !strings.Contains(failed.Message, tt.says) {
			t.Errorf("%s: %s, %+v, %v", name, resp.Status, failed, err)
		}
		_ = conn.Close()
	}
	large := "HTTP/1.1 431 Request Header Fields Too Large" + httpErrorHeaders + "431 Request Header Fields Too Large"
	if got := string(explainHTTPError([]byte(large))); !strings.HasPrefix(got, "HTTP/1.1 431 ") || !strings.Contains(got, apierror.ReasonRequestTooLarge) {
		t.Errorf("large headers: %q", got)
	}
	if got := string(explainHTTPError([]byte(plainToTLS))); !strings.HasPrefix(got, "HTTP/1.0 400 ") || !strings.Contains(got, "https://") {
		t.Errorf("HTTP to a port for HTTPS: %q", got)
	}
}
