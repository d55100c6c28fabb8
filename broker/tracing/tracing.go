// Package tracing gives the broker and its control API spans.
//
// It is a thin layer above the API of OpenTelemetry, so that tracing that is off costs a nil check:
// the nil *Tracer starts nil spans, whose methods do nothing, and nothing of that allocates. The SDK
// stays out of the packages that use this one; package telemetry of cmd/sala sets it up.
//
// Context crosses processes as the text of a W3C traceparent header
// (https://www.w3.org/TR/trace-context/), whatever carries it: metadata, an HTTP header, a field of a
// message between nodes, a field of an event for backends.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The headers, and the keys of metadata, that carry a span's context.
const (
	ParentHeader = "traceparent"
	StateHeader  = "tracestate"
)

// Tracer starts spans. The nil *Tracer is off. Its methods may be called concurrently.
type Tracer struct {
	tracer     trace.Tracer
	propagates bool
}

// New returns a tracer that starts spans of t. It takes part in traces of other processes only if
// propagates is set; otherwise no context comes in or goes out.
func New(t trace.Tracer, propagates bool) *Tracer { return &Tracer{t, propagates} }

// Options says what a span is. The zero value is an internal span that begins now.
type Options struct {
	// Kind is the span's part in a conversation between processes.
	Kind trace.SpanKind
	// Began is when the span began; zero means now.
	Began time.Time
}

// Start starts a span and returns a context with it. It is a child of the context's span; see
// [Apart] for the exception. End must be called on the span. The nil *Tracer returns ctx and nil.
func (t *Tracer) Start(ctx context.Context, name string, o Options) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(o.Kind)}
	if !o.Began.IsZero() {
		options = append(options, trace.WithTimestamp(o.Began))
	}
	if isApart(ctx) {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)))
		ctx = context.WithValue(ctx, apartKey{}, false)
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return ctx, &Span{span, t.propagates}
}

// StartFrom is Start where there is no caller whose context it could have: the span continues the
// span of another process that a traceparent names or, without one, begins a trace.
func (t *Tracer) StartFrom(parent, name string, o Options) *Span {
	if t == nil {
		return nil
	}
	ctx := context.Background() //nolint:forbidigo // it carries the parent and nothing else
	_, span := t.Start(t.Continue(ctx, parent, ""), name, o)
	return span
}

// apartKey is the context key of whether spans begin traces of their own.
type apartKey struct{}

// Apart returns a context for what happens within ctx's span, but would make its trace too large: a
// span that is started in it begins a trace of its own, with a link to ctx's span. It returns ctx if
// that has none.
func Apart(ctx context.Context) context.Context {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return context.WithValue(ctx, apartKey{}, true)
}

func isApart(ctx context.Context) bool {
	apart, _ := ctx.Value(apartKey{}).(bool)
	return apart
}

// Continue returns a context in which spans are children of a span of another process, which is
// named by a traceparent and, perhaps, a tracestate. It returns ctx if the tracer is off, or if there
// is no valid traceparent.
func (t *Tracer) Continue(ctx context.Context, parent, state string) context.Context {
	if t == nil || !t.propagates || parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{ParentHeader: parent, StateHeader: state})
}

// Span is an operation that is traced. The nil *Span, of a tracer that is off, does nothing. Its
// methods may be called concurrently.
type Span struct {
	span       trace.Span
	propagates bool
}

// Recording reports whether anybody gets to see what Set sets.
func (s *Span) Recording() bool { return s != nil && s.span.IsRecording() }

// Set sets attributes. Callers ask for Recording first, because the attributes take memory.
func (s *Span) Set(attributes ...attribute.KeyValue) {
	if s != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Fail marks the operation as failed. why must be fit for all who may see traces: a code, and nothing
// that comes from a request.
func (s *Span) Fail(why string) {
	if s != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// End ends the span. It must not be used afterwards.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// Parent returns the traceparent with which another process continues the span, sampled or not; ""
// if it can't.
func (s *Span) Parent() string {
	if s == nil || !s.propagates {
		return ""
	}
	return parentOf(s.span.SpanContext())
}

// SampledParent is Parent for a span that is sampled; "" for one that isn't.
func (s *Span) SampledParent() string {
	if s == nil || !s.span.SpanContext().IsSampled() {
		return ""
	}
	return s.Parent()
}

// SampledParent returns [Span.SampledParent] of the context's span. It allocates nothing if there is
// none.
func (t *Tracer) SampledParent(ctx context.Context) string {
	if t == nil || !t.propagates {
		return ""
	}
	c := trace.SpanContextFromContext(ctx)
	if !c.IsSampled() {
		return ""
	}
	return parentOf(c)
}

// parentOf returns a span's context as a traceparent of version 00; "" if there is none.
func parentOf(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + (c.TraceFlags() & trace.FlagsSampled).String()
}

// IDFrom returns the id of the context's trace, as an exemplar names it: 32 hexadecimal digits. It
// returns "", without allocating, if there is none or if nobody gets to see it, because it isn't
// sampled.
func IDFrom(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsSampled() || !c.HasTraceID() {
		return ""
	}
	return c.TraceID().String()
}
