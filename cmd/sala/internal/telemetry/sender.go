package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// defaultQueue is the SDK's own.
	defaultQueue = sdktrace.DefaultMaxQueueSize
	// logInterval is how often a collector that takes no spans is logged.
	logInterval = time.Minute
	// maxErrorBytes bounds what a line of the log has of an error, which may quote the collector.
	maxErrorBytes = 300
)

// sender is the SDK's processor of batches, and counts what it loses: the SDK drops spans silently if
// its queue is full, and logs each batch that the collector doesn't take. It implements
// sdktrace.SpanProcessor and, for the processor that it wraps, sdktrace.SpanExporter.
type sender struct {
	// Static.
	sdktrace.SpanProcessor
	exporter sdktrace.SpanExporter
	queue    int64
	log      *slog.Logger
	sent     prometheus.Counter
	full     prometheus.Counter // spans that found the queue full
	failed   prometheus.Counter // spans that the collector didn't take
	ctx      context.Context    //nolint:containedctx // ends when the rest is given up
	giveUp   context.CancelFunc

	waiting atomic.Int64 // spans in the queue, or on their way

	mu     sync.Mutex
	logged time.Time // when it was logged last that the collector takes no spans
	down   bool      // that was logged, and not yet that it takes them again
}

func newSender(ctx context.Context, exporter sdktrace.SpanExporter, queue int, o Options) (*sender, error) {
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sala_trace_spans_dropped_total",
		Help: "Spans that were lost, by reason: queue_full (too many waited for the collector) or export_failed (the collector didn't take them).",
	}, []string{"reason"})
	s := &sender{
		exporter: exporter,
		queue:    int64(queue),
		log:      o.Logger,
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sala_trace_spans_exported_total",
			Help: "Spans that the collector took.",
		}),
		full:   dropped.WithLabelValues("queue_full"),
		failed: dropped.WithLabelValues("export_failed"),
	}
	for _, c := range []prometheus.Collector{s.sent, dropped} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	s.ctx, s.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	s.SpanProcessor = sdktrace.NewBatchSpanProcessor(exporting{s})
	return s, nil
}

// OnEnd implements sdktrace.SpanProcessor. It never waits.
func (s *sender) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if s.waiting.Add(1) > s.queue {
		s.waiting.Add(-1)
		s.full.Inc()
		return
	}
	s.SpanProcessor.OnEnd(span)
}

// exporting is the sender as the exporter of the SDK's processor.
type exporting struct{ *sender }

// ExportSpans implements sdktrace.SpanExporter. Its error is always nil, because the SDK would log it.
func (e exporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.ctx, cancel) //nolint:contextcheck // an export ends with its context and with the sender
	defer stop()
	err := e.exporter.ExportSpans(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.failed.Add(float64(len(spans)))
	} else {
		e.sent.Add(float64(len(spans)))
	}
	e.report(err, len(spans))
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e exporting) Shutdown(ctx context.Context) error {
	defer e.giveUp()
	err := e.exporter.Shutdown(ctx)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil // the processor says so
	}
	return err
}

// report logs that the collector takes no spans, and that it takes them again.
func (s *sender) report(err error, spans int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && s.down:
		s.down = false
		s.log.Info("the collector of traces takes spans again")
	case err != nil && time.Since(s.logged) >= logInterval:
		s.down, s.logged = true, time.Now()
		text := err.Error()
		s.log.Warn("the collector of traces doesn't take spans; sala_trace_spans_dropped_total counts what is lost",
			"spans", spans, "error", text[:min(len(text), maxErrorBytes)])
	}
}
