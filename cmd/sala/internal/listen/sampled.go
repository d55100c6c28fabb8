package listen

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// sampleInterval is the interval in which a [sampledHandler] counts records.
	sampleInterval = 10 * time.Second
	// sampleRecords is how many records it passes on per interval.
	sampleRecords = 10
)

// sampledHandler passes on the first records of each interval and drops the rest. Clients cause the
// records that it is used for, and can do so as fast as they like.
type sampledHandler struct {
	slog.Handler
	quota *quota
}

func newSampledHandler(h slog.Handler) sampledHandler { return sampledHandler{h, &quota{}} }

// Handle implements [slog.Handler]. The first record after an interval with dropped records says
// how many were dropped.
func (s sampledHandler) Handle(ctx context.Context, r slog.Record) error {
	dropped, ok := s.quota.take(r.Time)
	if !ok {
		return nil
	}
	if dropped > 0 {
		r.AddAttrs(slog.Int("left_out_before", dropped))
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (s sampledHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sampledHandler{s.Handler.WithAttrs(attrs), s.quota}
}

// WithGroup implements [slog.Handler].
func (s sampledHandler) WithGroup(name string) slog.Handler {
	return sampledHandler{s.Handler.WithGroup(name), s.quota}
}

// quota counts the records of the current interval.
type quota struct {
	mu    sync.Mutex
	since time.Time
	taken int
}

// take reports whether a record may pass. The first call of an interval also returns how many
// records the previous interval dropped.
func (q *quota) take(now time.Time) (dropped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.since) >= sampleInterval {
		dropped = max(q.taken-sampleRecords, 0)
		q.since, q.taken = now, 0
	}
	q.taken++
	return dropped, q.taken <= sampleRecords
}
