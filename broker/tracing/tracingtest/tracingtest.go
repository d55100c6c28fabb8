// Package tracingtest records spans inside a test.
package tracingtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/salabroker/sala/broker/tracing"
)

// Recorder has the spans that its Tracer has ended. Its methods may be called concurrently.
type Recorder struct {
	// Tracer starts the spans.
	Tracer *tracing.Tracer

	spans *tracetest.SpanRecorder
}

// New returns a recorder whose tracer takes part in the traces of other processes, or doesn't, until
// the test ends.
func New(t testing.TB, propagates bool, options ...sdktrace.TracerProviderOption) *Recorder {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(spans))...)
	t.Cleanup(func() { _ = provider.Shutdown(context.WithoutCancel(t.Context())) }) // it has nothing to wait for
	return &Recorder{tracing.New(provider.Tracer("test"), propagates), spans}
}

// Spans returns the spans that have ended and whose names begin with one of these, or all of them, in
// the order in which they ended.
func (r *Recorder) Spans(names ...string) []sdktrace.ReadOnlySpan {
	return slices.DeleteFunc(r.spans.Ended(), func(s sdktrace.ReadOnlySpan) bool {
		return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(s.Name(), n) })
	})
}

// Attributes returns the attributes of a span as text, by name.
func Attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := make(map[string]string)
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// Text returns all that spans say, to look for what they mustn't.
func Text(spans []sdktrace.ReadOnlySpan) string {
	var all strings.Builder
	for _, s := range spans {
		fmt.Fprintln(&all, s.Name(), Attributes(s), s.Status(), s.Events(), s.Links(), s.SpanContext().TraceState())
	}
	return all.String()
}
