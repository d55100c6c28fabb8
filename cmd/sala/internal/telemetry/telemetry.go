// Package telemetry sends traces to a collector, by the SDK of OpenTelemetry.
//
// The standard variables configure it (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// Without an exporter in them, nothing is made. Nothing else imports the SDK: the broker and its API
// use package tracing.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/salabroker/sala/broker/tracing"
)

// scope is the name of what makes the spans.
const scope = "github.com/salabroker/sala"

// maxAttributeBytes bounds an attribute of a span, unless the environment does.
const maxAttributeBytes = 1024

// Options configures [New].
type Options struct {
	// Version is the release.
	Version string
	// Logger says when spans don't reach the collector, at most once a minute. Required.
	Logger *slog.Logger
	// Metrics registers the counters of spans. Required.
	Metrics prometheus.Registerer
}

// Traces sends spans to a collector. The nil *Traces is off. Its methods may be called concurrently.
type Traces struct {
	provider *sdktrace.TracerProvider
	sender   *sender
	tracer   *tracing.Tracer
}

// Check returns what is wrong with the variables, or nil.
func Check() error {
	_, err := read(os.Getenv)
	return err
}

// New returns nil if the environment configures no exporter. It doesn't wait for the collector, which
// may come and go. The error names the variables that are wrong. Shutdown must be called.
func New(ctx context.Context, o Options) (*Traces, error) {
	settings, err := read(os.Getenv)
	if err != nil || settings == nil {
		return nil, err
	}
	described, err := describe(ctx, o.Version)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := newExporter(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("the exporter of OTEL_EXPORTER_OTLP_…: %w", err)
	}
	sender, err := newSender(ctx, exporter, settings.queue, o)
	if err != nil {
		return nil, err
	}
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = maxAttributeBytes
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(sender),
		sdktrace.WithResource(described),
		sdktrace.WithRawSpanLimits(limits),
	)
	return &Traces{
		provider: provider,
		sender:   sender,
		tracer:   tracing.New(provider.Tracer(scope, trace.WithInstrumentationVersion(o.Version)), settings.propagates),
	}, nil
}

// describe returns what all spans say of the process. The environment takes precedence.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "sala"), attribute.String("service.version", version)),
		resource.WithFromEnv(),
	)
}

func newExporter(ctx context.Context, s *settings) (sdktrace.SpanExporter, error) {
	if s.protocol == protocolGRPC {
		var options []otlptracegrpc.Option
		if s.local {
			options = append(options, otlptracegrpc.WithInsecure())
		}
		return otlptracegrpc.New(ctx, options...)
	}
	var options []otlptracehttp.Option
	if s.local {
		options = append(options, otlptracehttp.WithInsecure())
	}
	return otlptracehttp.New(ctx, options...)
}

// Tracer returns the tracer; nil if traces are off.
func (t *Traces) Tracer() *tracing.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// Shutdown sends the spans that wait. When ctx ends, it gives those up that are left.
func (t *Traces) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, t.sender.giveUp)
	defer stop()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("spans were lost: %w", err)
	}
	return nil
}
