// Package grace bounds waiting for what should end by itself.
package grace

import (
	"context"
	"time"
)

// Wait calls wait on a goroutine of its own and returns true when that has
// returned. It returns false if that has not happened when ctx has ended and so
// much more time has passed: what ctx cuts off needs a moment to end. Then the
// goroutine is abandoned, and lasts as long as what it waits for.
func Wait(ctx context.Context, more time.Duration, wait func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
	}
	timer := time.NewTimer(more)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
