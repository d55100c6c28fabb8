package tracing_test

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/salabroker/sala/broker/tracing"
)

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// newTracer returns a tracer and what it has recorded.
func newTracer(t *testing.T, propagates bool, options ...sdktrace.TracerProviderOption) (*tracing.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(recorder))...)
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return tracing.New(provider.Tracer("test"), propagates), recorder
}

func TestOffCostsNothing(t *testing.T) {
	var off *tracing.Tracer
	ctx := t.Context()
	allocated := testing.AllocsPerRun(100, func() {
		ctx, span := off.Start(off.Continue(ctx, sampled, "a=b"), "emit", tracing.Options{Kind: trace.SpanKindProducer})
		if span.Recording() {
			span.Set(attribute.String("a", "b"))
		}
		span.Fail("INTERNAL")
		if span.Parent() != "" || span.SampledParent() != "" || off.SampledParent(ctx) != "" || tracing.IDFrom(ctx) != "" {
			t.Error("a tracer that is off has a trace")
		}
		span.End()
	})
	if allocated != 0 {
		t.Errorf("a tracer that is off allocates %v times", allocated)
	}
}

func TestContinue(t *testing.T) {
	for _, tt := range []struct {
		name, parent string
		propagates   bool
		continued    bool
	}{
		{"sampled", sampled, true, true},
		{"unsampled", unsampled, true, true},
		{"a later version", strings.Replace(sampled, "00", "cc", 1) + "-more", true, true},
		{"none", "", true, false},
		{"not hexadecimal", strings.Replace(sampled, "0af", "0ag", 1), true, false},
		{"no trace", "00-00000000000000000000000000000000-b7ad6b7169203331-01", true, false},
		{"too long", sampled + "-more", true, false},
		{"propagation is off", sampled, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tracer, _ := newTracer(t, tt.propagates)
			ctx, span := tracer.Start(tracer.Continue(t.Context(), tt.parent, ""), "call", tracing.Options{})
			span.End()
			trace := trace.SpanContextFromContext(ctx).TraceID().String()
			if got := trace == sampled[3:35]; got != tt.continued {
				t.Errorf("the trace is %s", trace)
			}
		})
	}
}

func TestParentKeepsTheSampling(t *testing.T) {
	tracer, recorder := newTracer(t, true)
	for _, parent := range []string{sampled, unsampled} {
		ctx, span := tracer.Start(tracer.Continue(t.Context(), parent, ""), "call", tracing.Options{})
		if got := span.Parent(); got[:36] != parent[:36] || got[36:52] == parent[36:52] || !strings.HasSuffix(got, parent[52:]) {
			t.Errorf("the span below %s is %s", parent, got)
		}
		isSampled := parent == sampled
		if got := tracer.SampledParent(ctx); got != span.SampledParent() || (got != "") != isSampled {
			t.Errorf("below %s, SampledParent = %q and %q", parent, got, span.SampledParent())
		}
		if got := tracing.IDFrom(ctx); (got == sampled[3:35]) != isSampled || (got == "") == isSampled {
			t.Errorf("below %s, IDFrom = %q", parent, got)
		}
		span.End()
	}
	if n := len(recorder.Ended()); n != 1 {
		t.Errorf("%d spans were recorded, not 1", n)
	}
}

func TestNothingGoesOutWithoutPropagation(t *testing.T) {
	tracer, _ := newTracer(t, false)
	ctx, span := tracer.Start(t.Context(), "call", tracing.Options{})
	defer span.End()
	if span.Parent() != "" || span.SampledParent() != "" || tracer.SampledParent(ctx) != "" {
		t.Error("a context goes out")
	}
	if tracing.IDFrom(ctx) == "" {
		t.Error("an exemplar can't name the trace")
	}
}

func TestApart(t *testing.T) {
	tracer, recorder := newTracer(t, true)
	ctx, stream := tracer.Start(t.Context(), "stream", tracing.Options{})
	_, emit := tracer.Start(ctx, "emit", tracing.Options{Apart: true})
	emit.End()
	stream.End()
	spans := recorder.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans were recorded, not 2", len(spans))
	}
	first, last := spans[0], spans[1]
	if first.Parent().IsValid() || first.SpanContext().TraceID() == last.SpanContext().TraceID() {
		t.Error("the span has no trace of its own")
	}
	if links := first.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != last.SpanContext().SpanID() {
		t.Errorf("its links are %v", links)
	}
}
