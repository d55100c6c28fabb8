package redis

import (
	"errors"
	"fmt"
	"strings"

	"github.com/salabroker/sala/broker/cluster"
)

// advice is what to do about errors of Redis, by how they begin.
func advice(text string) string {
	for _, a := range []struct{ prefix, do string }{
		{"NOPERM", "grant the user of the Redis URL the permissions that docs/scaling.md lists (ACL SETUSER)"},
		{"NOAUTH", "add the user and password to the Redis URL"},
		{"WRONGPASS", "correct the user and password in the Redis URL"},
		{"READONLY", "this server is a replica: point the Redis URL to the primary"},
		{"OOM", "raise the maxmemory of Redis, or let it evict what it can (maxmemory-policy)"},
		{"MISCONF", "Redis can't save to its disk: give it room, or turn stop-writes-on-bgsave-error off"},
		{"NOREPLICAS", "Redis wants replicas that are not there: bring them back, or lower min-replicas-to-write"},
		{"LOADING", "Redis is reading its data; wait"},
		{"CLUSTERDOWN", "bring the missing servers of the Redis Cluster back"},
	} {
		if strings.HasPrefix(text, a.prefix) {
			return a.do
		}
	}
	return ""
}

// advised adds to an error what to do about it, if that is known.
func advised(err error) error {
	if err == nil {
		return nil
	}
	var known refused
	do := advice(err.Error())
	if do == "" || errors.As(err, &known) {
		return err
	}
	return refused{fmt.Errorf("%w; %s", err, do)}
}

// refused is an error of Redis together with what to do about it.
type refused struct{ error }

// Unwrap returns the error.
func (e refused) Unwrap() error { return e.error }

// unavailable returns an error as one of a bus that can't be used.
func unavailable(err error) error { return failed{advised(err)} }

// failed is a [cluster.ErrUnavailable] that says why.
type failed struct{ error }

// Unwrap returns why.
func (e failed) Unwrap() error { return e.error }

// Is reports that it is a [cluster.ErrUnavailable].
func (e failed) Is(target error) bool { return target == cluster.ErrUnavailable }
