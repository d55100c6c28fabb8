package redis

import (
	"errors"
	"fmt"
	"strings"

	"github.com/salabroker/sala/broker/cluster"
)

// advice returns what to do about an error of Redis, or "".
func advice(text string) string {
	for _, a := range []struct{ prefix, do string }{
		{"NOPERM", "grant the user of the Redis URL the permissions that docs/scaling.md lists (ACL SETUSER)"},
		{"NOAUTH", "add the user and password to the Redis URL"},
		{"WRONGPASS", "correct the user and password in the Redis URL"},
		{"READONLY", "this server is a replica: point the Redis URL to the primary"},
		{"OOM", "raise the maxmemory of Redis, or let it evict keys (maxmemory-policy)"},
		{"MISCONF", "Redis can't save to its disk: free space there, or turn off stop-writes-on-bgsave-error"},
		{"NOREPLICAS", "Redis requires replicas that are missing: bring them back, or lower min-replicas-to-write"},
		{"LOADING", "Redis is loading its data: wait"},
		{"CLUSTERDOWN", "bring the missing servers of the Redis Cluster back"},
	} {
		if strings.HasPrefix(text, a.prefix) {
			return a.do
		}
	}
	return ""
}

// advised adds to an error what to do about it, if known.
func advised(err error) error {
	if err == nil {
		return nil
	}
	var already advisedError
	do := advice(err.Error())
	if do == "" || errors.As(err, &already) {
		return err
	}
	return advisedError{fmt.Errorf("%w; %s", err, do)}
}

// Advised adds to an error of a [Client]'s server what to do about it, if known.
func Advised(err error) error { return advised(err) }

// advisedError is an error of Redis with what to do about it.
type advisedError struct{ error }

// Unwrap returns the error.
func (e advisedError) Unwrap() error { return e.error }

// unavailable returns a [cluster.ErrUnavailable] with its cause.
func unavailable(err error) error { return unavailableError{advised(err)} }

// unavailableError is a [cluster.ErrUnavailable] with its cause.
type unavailableError struct{ error }

// Unwrap returns the cause.
func (e unavailableError) Unwrap() error { return e.error }

// Is reports whether target is [cluster.ErrUnavailable].
func (e unavailableError) Is(target error) bool { return target == cluster.ErrUnavailable }
