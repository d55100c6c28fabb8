package redishistory

import (
	"context"
	"errors"

	"github.com/salabroker/sala/broker/cluster/redis"
	"github.com/salabroker/sala/broker/history"
)

var (
	errEnded     = errors.New("this node has stopped")
	errTooSlow   = errors.New("too many messages wait for Redis, which is too slow")
	errMalformed = errors.New("somebody else has written to the keys of the history in Redis")
)

// unavailable returns err as a [history.ErrUnavailable] that says what to do about it, if known.
func unavailable(err error) error { return unavailableError{redis.Advised(err)} }

// failure returns the error of a call that Redis hasn't answered: that of the caller's context, if
// it has ended.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return unavailable(err)
}

// unavailableError is a [history.ErrUnavailable] with its cause.
type unavailableError struct{ error }

// Unwrap returns the cause.
func (e unavailableError) Unwrap() error { return e.error }

// Is reports whether target is [history.ErrUnavailable].
func (e unavailableError) Is(target error) bool { return target == history.ErrUnavailable }
