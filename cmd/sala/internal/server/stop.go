package server

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/grace"
)

const (
	// stopMargin is how much longer than --drain-timeout Stop may take in total.
	stopMargin = 1500 * time.Millisecond
	// ProcessMargin is how much longer than --drain-timeout Run may take. Stop keeps to its own limit
	// unless something it calls hangs, such as a log that nobody reads. The process must be gone
	// 2 s after --drain-timeout.
	ProcessMargin = 1800 * time.Millisecond
	// stopGrace is how long each part other than the clients may take to stop.
	stopGrace = 3 * time.Second
	// maxCutGrace is how long a part may take, after its limit, to abort what is left.
	maxCutGrace = time.Second
	// minCutGrace is how long a part may take if no time is left.
	minCutGrace = 10 * time.Millisecond
)

// step stops one part that New has started.
type step struct {
	what  string
	limit time.Duration
	stop  func(context.Context) error
}

func (s *Server) onStop(what string, limit time.Duration, stop func(context.Context) error) {
	s.steps = append(s.steps, step{what, limit, stop})
}

// Stop stops all parts, the last first. Each has its own limit, and all of them together have
// --drain-timeout and a little more. A part that exceeds its limit aborts what is left. A part that
// doesn't end even then is abandoned. Both are logged.
func (s *Server) Stop(ctx context.Context) {
	deadline := time.Now().Add(s.cfg.Flags.DrainTimeout + stopMargin)
	var abandoned []string
	for i := len(s.steps) - 1; i >= 0; i-- {
		if !s.undo(ctx, s.steps[i], time.Until(deadline)) {
			abandoned = append(abandoned, s.steps[i].what)
		}
	}
	s.steps = nil
	serving := step{"serving", stopGrace, func(context.Context) error { s.serving.Wait(); return nil }}
	if !s.undo(ctx, serving, time.Until(deadline)) {
		abandoned = append(abandoned, serving.what)
	}
	if len(abandoned) > 0 {
		s.logAbandoned(ctx, abandoned)
	}
}

// undo stops a part and leaves some of the remaining time to the others. It reports whether the part
// has ended.
func (s *Server) undo(ctx context.Context, part step, left time.Duration) bool {
	limit := min(part.limit, max(left-stopMargin, left/2))
	more := max(min((left-limit)*2/3, maxCutGrace), minCutGrace)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return grace.Wait(ctx, more, func() {
		if err := part.stop(ctx); err != nil {
			s.log.Warn("did not stop gracefully", "part", part.what, "error", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	})
}

// logAbandoned logs what the process still holds. It has a limit too, because whatever blocks the
// parts may also block counting.
func (s *Server) logAbandoned(ctx context.Context, parts []string) {
	ctx, cancel := context.WithTimeout(ctx, minCutGrace)
	defer cancel()
	grace.Wait(ctx, minCutGrace, func() {
		attrs := []any{"parts", strings.Join(parts, ", "), "goroutines", runtime.NumGoroutine()}
		if s.broker != nil {
			connections, sockets := s.broker.Load()
			attrs = append(attrs, "connections", connections, "sockets", sockets)
		}
		if s.api != nil {
			calls, streams := s.api.Load()
			attrs = append(attrs, "calls", calls, "streams", streams)
		}
		for _, l := range s.listeners() {
			attrs = append(attrs, "tcp_"+l.Name, l.Open())
		}
		s.log.Error("abandoned parts that did not stop", attrs...)
	})
}
