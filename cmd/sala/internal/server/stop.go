package server

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/salabroker/sala/broker/grace"
)

const (
	// stopRest is how much longer than --drain-timeout Stop may take.
	stopRest = 1500 * time.Millisecond
	// StopRest is how much longer than that Run may take. Stop keeps to its own
	// time, but can hang in what it calls without a bound, as a log that nobody
	// reads. The process has to be gone 2 s after --drain-timeout.
	StopRest = 1800 * time.Millisecond
	// stopGrace is how long, once the clients are gone, calls to the control API
	// may take to finish, and any other part to end.
	stopGrace = 3 * time.Second
	// maxCutGrace is how long a part may take whose time is over, to cut off what
	// it has left.
	maxCutGrace = time.Second
	// minCutGrace is how long a part may take for which there is no time left.
	minCutGrace = 10 * time.Millisecond
)

// step undoes one part of New or Start.
type step struct {
	what  string
	limit time.Duration
	stop  func(context.Context) error
}

func (s *Server) onStop(what string, limit time.Duration, stop func(context.Context) error) {
	s.steps = append(s.steps, step{what, limit, stop})
}

// Stop undoes everything, the last first, each step within its own limit and all
// of them within the clients' time to drain and a little more. A step that can't
// end in time cuts off what is left, and that is logged. One that doesn't end
// even then is abandoned, with what it holds, which is logged too.
func (s *Server) Stop(ctx context.Context) {
	deadline := time.Now().Add(s.cfg.Flags.DrainTimeout + stopRest)
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

// undo takes a step, for which it leaves something of the time that is left to
// those that follow. It reports false if the step has not ended.
func (s *Server) undo(ctx context.Context, part step, left time.Duration) bool {
	limit := min(part.limit, max(left-stopRest, left/2))
	more := max(min((left-limit)*2/3, maxCutGrace), minCutGrace)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return grace.Wait(ctx, more, func() {
		if err := part.stop(ctx); err != nil {
			s.log.Warn("not stopped in good order", "part", part.what, "error", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	})
}

// logAbandoned says what the process still has that is about to end. Whatever
// holds the parts up may hold up counting as well.
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
		s.log.Error("abandoned what did not end", attrs...)
	})
}
