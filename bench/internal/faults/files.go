package faults

import (
	"fmt"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var files = fault{
	profile: runner.Files,
	title:   "Out of files",
	text: func(p result.Profile) string {
		return fmt.Sprintf("A server that may open %d files has %d clients in a room. Then %d more connections come, and stay without a word. Meanwhile %d calls to the control API, "+
			"each over a new connection, emit to that room, and the health check is asked over another one. When the crowd has gone, new clients must get in.",
			p.Job.Files, p.Job.Clients, p.Job.Dropped, p.Job.Calls)
	},
	limits: []limit{
		none(job.Refused, "calls and health checks that failed"),
		{job.Slowest, 1000, "slowest of them, ms"},
		none(job.Missing, "messages that clients missed"),
		none(job.Gone, "clients that lost their connection"),
		{job.Resumed, 5, "seconds until new clients got in again"},
		none(job.Faulty, "lines of the log that say that the broker is at fault"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%.0f connections came, %.0f calls", f[job.Clients], f[job.Accepted])
	},
}
