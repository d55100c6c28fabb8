package sala

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// How long to wait before the next attempt: the pause doubles each time. Full jitter (a random part
// of the pause) keeps the clients of a broker that has restarted from calling all at once.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// attemptTimeout is how long one attempt of a call that may be repeated takes at most. It leaves time
// for more attempts within [DefaultTimeout] if a connection has died without a word.
const attemptTimeout = 4 * time.Second

// pauseBefore returns how long to wait before the given attempt, where 1 is the first repeat.
func pauseBefore(attempt int) time.Duration {
	pause := longestPause
	if doublings := attempt - 1; doublings < 6 {
		pause = min(firstPause<<doublings, longestPause)
	}
	return rand.N(pause) //nolint:gosec // it spreads attempts and protects nothing
}

// sleep waits, and returns false if ctx ends first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// repeatable says whether a call may be carried out twice without harm.
type repeatable bool

// call makes a call with a deadline. If the call is repeatable, it is repeated when the broker can't
// be reached or an attempt takes too long, until the deadline. Any call is repeated when the broker
// has refused it and says when to try again.
func call[T any](ctx context.Context, c *Client, repeat repeatable, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := c.withDeadline(ctx, c.timeout)
	defer cancel()
	var unavailable error
	for attempt := 1; ; attempt++ {
		result, err := once(ctx, repeat, do)
		if err == nil {
			return result, nil
		}
		err = c.asError(err)
		switch CodeOf(err) {
		case codes.Unavailable:
			// Why there is no connection says more than that one broke: a broker that asks for a client
			// certificate ends a connection whenever it gets to it.
			if unavailable == nil || !isBroken(err) {
				unavailable = err
			}
			err = unavailable
		case codes.DeadlineExceeded:
			// That nobody answers says more than that the last attempt had no time left.
			err = cmp.Or(unavailable, err)
		}
		pause, again := pauseAfter(ctx, err, repeat, attempt)
		if !again || !sleep(ctx, pause) {
			return result, err
		}
	}
}

// withDeadline adds a deadline to a context that has none.
func (c *Client) withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// once makes one attempt.
func once[T any](ctx context.Context, repeat repeatable, do func(context.Context) (T, error)) (T, error) {
	if repeat {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
	}
	return do(ctx)
}

// pauseAfter says whether to make another attempt after err, and when.
func pauseAfter(ctx context.Context, err error, repeat repeatable, attempt int) (time.Duration, bool) {
	failed, ok := errors.AsType[*Error](err)
	if !ok || ctx.Err() != nil {
		return 0, false
	}
	pause := pauseBefore(attempt)
	switch failed.Code {
	case codes.Unavailable, codes.DeadlineExceeded: // the attempt's own deadline: that of ctx hasn't passed
		if !repeat {
			return 0, false
		}
		pause = max(pause, failed.RetryAfter)
	case codes.ResourceExhausted: // refused before anything was done
		if failed.RetryAfter == 0 {
			return 0, false
		}
		pause += failed.RetryAfter
	default:
		return 0, false
	}
	deadline, ok := ctx.Deadline()
	return pause, !ok || time.Until(deadline) > pause
}
