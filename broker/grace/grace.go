// Package grace bounds how long to wait for others: for goroutines that should end by themselves,
// and for the bodies of requests.
package grace

import (
	"context"
	"time"
)

// Wait calls wait on a goroutine of its own and returns true when it has returned. Wait returns
// false if that hasn't happened when ctx has ended and then the time more has passed: what ctx
// cancels needs a moment to end. The goroutine is then abandoned until wait returns.
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

// Extend returns a context that ends when ctx has ended and then the time more has passed: what
// follows from the end of ctx needs a moment to be done. It has a deadline if that is known. The caller
// calls the function to release it.
func Extend(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	lasting := context.WithoutCancel(ctx)
	if ctx.Err() != nil {
		return context.WithTimeoutCause(lasting, more, context.Cause(ctx))
	}
	release := func() {}
	if end, ok := ctx.Deadline(); ok {
		lasting, release = context.WithDeadline(lasting, end.Add(more))
	}
	extended, cancel := context.WithCancelCause(lasting)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(more, func() { cancel(context.Cause(ctx)) })
	})
	return extended, func() {
		stop()
		cancel(context.Canceled)
		release()
	}
}
