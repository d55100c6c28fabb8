package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// sparseInterval is how often a [sparse] log starts to count anew.
	sparseInterval = 10 * time.Second
	// sparseLines is how many lines it has in that time.
	sparseLines = 10
)

// sparse passes a few records on and leaves out the rest: what it is used for
// is logged because of what clients do, and they may do it as fast as they can.
type sparse struct {
	slog.Handler
	quota *quota
}

func newSparse(h slog.Handler) sparse { return sparse{h, &quota{}} }

// Handle implements [slog.Handler].
func (s sparse) Handle(ctx context.Context, r slog.Record) error {
	leftOut, ok := s.quota.take(r.Time)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r.AddAttrs(slog.Int("left_out_before", leftOut))
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (s sparse) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sparse{s.Handler.WithAttrs(attrs), s.quota}
}

// WithGroup implements [slog.Handler].
func (s sparse) WithGroup(name string) slog.Handler {
	return sparse{s.Handler.WithGroup(name), s.quota}
}

// quota counts the records of an interval.
type quota struct {
	mu    sync.Mutex
	since time.Time
	taken int
}

// take reports whether there is room for one more, and how many there was none
// for before it.
func (q *quota) take(now time.Time) (leftOut int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.since) >= sparseInterval {
		leftOut = max(q.taken-sparseLines, 0)
		q.since, q.taken = now, 0
	}
	q.taken++
	return leftOut, q.taken <= sparseLines
}
