package tracing_test

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/salabroker/sala/broker/tracing"
	"github.com/salabroker/sala/broker/tracing/tracingtest"
)

const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

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
			tracer := tracingtest.New(t, tt.propagates).Tracer
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
	recorder := tracingtest.New(t, true)
	tracer := recorder.Tracer
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
	if n := len(recorder.Spans()); n != 1 {
		t.Errorf("%d spans were recorded, not 1", n)
	}
}

func TestNothingGoesOutWithoutPropagation(t *testing.T) {
	tracer := tracingtest.New(t, false).Tracer
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
	recorder := tracingtest.New(t, true)
	tracer := recorder.Tracer
	ctx, stream := tracer.Start(t.Context(), "stream", tracing.Options{})
	for range 2 {
		inEmit, emit := tracer.Start(tracing.Apart(ctx), "emit", tracing.Options{})
		_, child := tracer.Start(inEmit, "child", tracing.Options{})
		child.End()
		emit.End()
	}
	stream.End()
	spans := recorder.Spans()
	if len(spans) != 5 {
		t.Fatalf("%d spans were recorded, not 5", len(spans))
	}
	last := spans[4].SpanContext()
	for i := 0; i < 4; i += 2 {
		child, emit := spans[i], spans[i+1]
		if emit.Parent().IsValid() || emit.SpanContext().TraceID() == last.TraceID() {
			t.Error("the span has no trace of its own")
		}
		if links := emit.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != last.SpanID() {
			t.Errorf("its links are %v", links)
		}
		if child.Parent().SpanID() != emit.SpanContext().SpanID() {
			t.Error("a span below it isn't its child")
		}
	}
	if ctx := t.Context(); tracing.Apart(ctx) != ctx {
		t.Error("a context without a span is replaced")
	}
}

func TestStartFrom(t *testing.T) {
	recorder := tracingtest.New(t, true)
	tracer := recorder.Tracer
	began := time.Unix(1000, 0)
	tracer.StartFrom(sampled, "apply", tracing.Options{Kind: trace.SpanKindConsumer, Began: began}).End()
	tracer.StartFrom("", "event", tracing.Options{}).End()
	(*tracing.Tracer)(nil).StartFrom(sampled, "apply", tracing.Options{}).End()
	spans := recorder.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans were recorded, not 2", len(spans))
	}
	if s := spans[0]; s.Parent().SpanID().String() != sampled[36:52] || s.SpanKind() != trace.SpanKindConsumer || !s.StartTime().Equal(began) {
		t.Errorf("the first span is %v", s)
	}
	if spans[1].Parent().IsValid() {
		t.Error("the second span has a parent")
	}
}
