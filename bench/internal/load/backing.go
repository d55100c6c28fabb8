package load

import (
	"context"
	"slices"

	"github.com/salabroker/sala/bench/internal/job"
)

// backing is where the servers of a cluster meet, if it isn't the job's own Redis.
type backing interface {
	// start starts what isn't there yet, before the servers are started.
	start(ctx context.Context, j *job.Job) error
	// url returns the --redis-url of a server.
	url(node int) string
	// stop ends it.
	stop()
}

// meetAt makes a server that isn't started yet meet the others elsewhere.
func meetAt(c *job.Command, url string) {
	c.Args = slices.Clone(c.Args)
	if i := slices.Index(c.Args, "--redis-url"); i >= 0 {
		c.Args[i+1] = url
	}
}
