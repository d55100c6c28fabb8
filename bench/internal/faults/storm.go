package faults

import (
	"fmt"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var storm = fault{
	profile: runner.Storm,
	title:   "Everybody comes back at once",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients are connected over WebSocket, each with a token of its own. All but %d are cut off at once, as by a load balancer that dies, and "+
			"come back as stock clients do: after 0.5 to 1.5 s, and if that fails at growing distances. None waits for another, so that all handshakes of a moment are there "+
			"at the same time. Meanwhile %.0f messages a second go to those who stayed; their p99 is the largest of any %.1f s.",
			p.Job.Clients+p.Job.Dropped, p.Job.Clients, 1/p.Job.Every.Seconds(), float64(p.Job.Batches)*p.Job.Every.Seconds())
	},
	limits: []limit{
		{job.Back99, 15, "seconds until 99 of 100 were back"},
		{job.P99Stalled, 250, "p99 of those who stayed, ms"},
		none(job.Stayed, "clients that the broker lacks in the end"),
		none(job.Missing, "messages that those who stayed missed"),
		none(job.Disorder, "messages that they got out of order"),
		none(job.Gone, "of them who lost their connection"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("the last was back after %.1f s; %.0f attempts, %.0f of which failed; p99 %.1f ms before; %.1f s of the server's CPU",
			f[job.Back], f[job.Connects], f[job.Lost], f[job.P99], f[job.Seconds])
	},
}
