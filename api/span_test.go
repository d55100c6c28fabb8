package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/salabroker/sala/broker/tracing/tracingtest"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	callerTrace = "0af7651916cd43dd8448eb211c80319c"
	callerSpan  = "b7ad6b7169203331"
	callerIn    = "00-" + callerTrace + "-" + callerSpan + "-01"
	unsampledIn = "00-" + callerTrace + "-" + callerSpan + "-00"
)

// startTraced serves a fake broker, with a recorder of spans.
func startTraced(t *testing.T) (*harness, *tracingtest.Recorder) {
	t.Helper()
	recorder := tracingtest.New(t, true)
	return start(t, &fakeBroker{matched: 3}, func(c *Config) { c.Tracer = recorder.Tracer }), recorder
}

func inSpan(parent string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Traceparent", parent)
		r.Header.Set("Tracestate", "vendor=1")
	}
}

// TestOneSpanForACall calls in each way. A REST request is one call, although it becomes an RPC.
func TestOneSpanForACall(t *testing.T) {
	const emit = `{"namespace":"/chat","rooms":["secret-room"],"event":"hi","args":["secret-text"]}`
	request := &salav1.EmitRequest{Namespace: "/chat", Rooms: []string{"secret-room"}, Event: "hi", ArgsJson: `["secret-text"]`}
	for name, call := range map[string]func(*testing.T, *harness){
		"grpc": func(t *testing.T, h *harness) {
			ctx := metadata.AppendToOutgoingContext(as(t, adminKey), "traceparent", callerIn, "tracestate", "vendor=1")
			if _, err := salav1.NewMessageServiceClient(h.conn).Emit(ctx, request); err != nil {
				t.Fatal(err)
			}
		},
		"rest": func(t *testing.T, h *harness) {
			if status, _, text := h.do(t, "POST", "/v1/emit", emit, inSpan(callerIn)); status != http.StatusOK {
				t.Fatal(status, text)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, recorder := startTraced(t)
			call(t, h)
			spans := recorder.Spans()
			if len(spans) != 1 {
				t.Fatalf("there are %d spans, not 1:\n%s", len(spans), tracingtest.Text(spans))
			}
			span := spans[0]
			if span.Name() != "sala.v1.MessageService/Emit" || span.SpanKind() != trace.SpanKindServer {
				t.Errorf("the span is %s, of a %s", span.Name(), span.SpanKind())
			}
			if p := span.Parent(); p.TraceID().String() != callerTrace || p.SpanID().String() != callerSpan || span.SpanContext().TraceState().String() != "vendor=1" {
				t.Errorf("its parent is %v", p)
			}
			want := map[string]string{
				"rpc.system.name": "grpc", "rpc.method": "sala.v1.MessageService/Emit", "rpc.response.status_code": "OK",
				"sala.api": name, "sala.key": "admin", "sala.namespace": "/chat",
			}
			if got := tracingtest.Attributes(span); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("its attributes are %v\nwant %v", got, want)
			}
			if text := tracingtest.Text(spans); strings.Contains(text, "secret") || strings.Contains(text, adminKey) {
				t.Errorf("the span says too much:\n%s", text)
			}
		})
	}
}

// TestSpansOfRefusedCalls: a caller with a key sees why a call was refused. One without a key makes no span.
func TestSpansOfRefusedCalls(t *testing.T) {
	none := func(r *http.Request) { r.Header.Del("Authorization") }
	reader := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+readerKey) }
	for _, tt := range []struct {
		name, body string
		edit       func(*http.Request)
		want       string // code and reason; empty for no span
	}{
		{"no key", `{}`, none, ""},
		{"no scope", `{}`, reader, "PERMISSION_DENIED SCOPE_DENIED"},
		{"two arguments", `{"rooms":["a"],"event":"e","args":[],"argsJson":"[]"}`, inSpan(callerIn), "INVALID_ARGUMENT INVALID_ARGUMENT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, recorder := startTraced(t)
			h.do(t, "POST", "/v1/emit", tt.body, tt.edit)
			checkRefused(t, recorder.Spans(), tt.want)
			request, err := http.NewRequestWithContext(t.Context(), "POST", "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+adminKey)
			tt.edit(request)
			ctx := metadata.AppendToOutgoingContext(timeout(t), "authorization", request.Header.Get("Authorization"), "traceparent", callerIn)
			before := len(recorder.Spans())
			if _, err := salav1.NewMessageServiceClient(h.conn).Emit(ctx, &salav1.EmitRequest{ArgsJson: "[]", Args: &structpb.ListValue{}}); err == nil {
				t.Fatal("the call isn't refused")
			}
			checkRefused(t, recorder.Spans()[before:], tt.want)
		})
	}
}

func checkRefused(t *testing.T, spans []sdktrace.ReadOnlySpan, want string) {
	t.Helper()
	if want == "" {
		if len(spans) > 0 {
			t.Errorf("there are spans:\n%s", tracingtest.Text(spans))
		}
		return
	}
	if len(spans) != 1 {
		t.Fatalf("there are %d spans, not 1:\n%s", len(spans), tracingtest.Text(spans))
	}
	got := tracingtest.Attributes(spans[0])
	if text := got["rpc.response.status_code"] + " " + got["error.type"]; !strings.HasPrefix(text, want) {
		t.Errorf("the span says %s, not %s", text, want)
	}
	if status := spans[0].Status().Code.String(); status != "Unset" {
		t.Errorf("the caller's mistake is the status %s", status)
	}
}

func TestSamplingOfTheCallerIsRespected(t *testing.T) {
	h, recorder := startTraced(t)
	if status, _, text := h.do(t, "GET", "/v1/rooms", "", inSpan(unsampledIn)); status != http.StatusOK {
		t.Fatal(status, text)
	}
	if spans := recorder.Spans(); len(spans) > 0 {
		t.Errorf("there are spans of a trace that isn't sampled:\n%s", tracingtest.Text(spans))
	}
}

// TestOddParents: what isn't a traceparent, or isn't allowed in metadata, harms no call.
func TestOddParents(t *testing.T) {
	for _, parent := range []string{"", "nonsense", "00-\u00e9-1-01", callerIn + "-more", strings.Repeat("0", 5000)} {
		h, recorder := startTraced(t)
		if status, _, text := h.do(t, "GET", "/v1/rooms", "", inSpan(parent)); status != http.StatusOK {
			t.Errorf("%.20q: %d %s", parent, status, text)
		}
		if spans := recorder.Spans(); len(spans) != 1 || spans[0].Parent().IsValid() {
			t.Errorf("%.20q: the spans are\n%s", parent, tracingtest.Text(spans))
		}
	}
}

func TestNoSpansOfHealthChecksAndMetrics(t *testing.T) {
	h, recorder := startTraced(t)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.json"} {
		h.do(t, "GET", path, "", inSpan(callerIn))
	}
	if spans := recorder.Spans(); len(spans) > 0 {
		t.Errorf("there are spans:\n%s", tracingtest.Text(spans))
	}
}

// TestSpansOfRequestsThatAreNoCalls: what the gateway refuses before the service gets it has a span, too.
func TestSpansOfRequestsThatAreNoCalls(t *testing.T) {
	for name, tt := range map[string]struct{ method, path, body, want string }{
		"no JSON":             {"POST", "/v1/emit", `{"rooms":["a"`, "sala.v1.MessageService/Emit"},
		"an unknown field":    {"POST", "/v1/emit", `{"salas":["a"]}`, "sala.v1.MessageService/Emit"},
		"another type":        {"POST", "/v1/emit", `{"rooms":"secret"}`, "sala.v1.MessageService/Emit"},
		"no JSON of a stream": {"POST", "/v1/emit:ack", `{"rooms":`, "sala.v1.MessageService/EmitWithAck"},
		"a parameter":         {"GET", "/v1/rooms?page_size=secret", "", "sala.v1.RoomService/ListRooms"},
		"an unknown one":      {"GET", "/v1/rooms?secret=1", "", "sala.v1.RoomService/ListRooms"},
	} {
		t.Run(name, func(t *testing.T) {
			h, recorder := startTraced(t)
			if code, _, text := h.do(t, tt.method, tt.path, tt.body, inSpan(callerIn)); code != http.StatusBadRequest {
				t.Fatal(code, text)
			}
			spans := recorder.Spans()
			checkRefused(t, spans, "INVALID_ARGUMENT INVALID_ARGUMENT")
			if got := spans[0].Name(); got != tt.want || spans[0].Parent().TraceID().String() != callerTrace {
				t.Errorf("the span is %s, in %v", got, spans[0].Parent())
			}
			if text := tracingtest.Text(spans); strings.Contains(text, "secret") {
				t.Errorf("the span says too much:\n%s", text)
			}
		})
	}
}
