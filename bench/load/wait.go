package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/process"
)

// Trailing is how long to wait for what a server does after the last delivery.
const Trailing = 50 * time.Millisecond

// InParallel calls f for each number below n on several goroutines. It returns the first error,
// after which it makes no further call.
func InParallel(ctx context.Context, workers, n int, f func(ctx context.Context, i int) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workers, n) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := f(ctx, int(i)); err != nil {
					fail(err)
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// Sleep waits for d, or until ctx ends, whose cause it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// UsageAfter waits and then returns what a process uses.
func UsageAfter(ctx context.Context, d time.Duration, pid int) (process.Usage, error) {
	if err := Sleep(ctx, d); err != nil {
		return process.Usage{}, err
	}
	return process.ReadUsage(pid)
}

// Micros returns a duration in microseconds.
func Micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Millis returns a duration in milliseconds.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
