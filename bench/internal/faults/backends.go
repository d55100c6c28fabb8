package faults

import (
	"fmt"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var killBackends = fault{
	profile: runner.KillBackends,
	title:   "Backends that are killed",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients together send %.0f events a second, %d in a row each, all with an ack and a number, for %.0f s, to a group of %d backends. These are processes of "+
			"their own, write down what they are handed, and take %.0f ms for an answer. %d times the busiest of them is killed (`kill -9`) while events "+
			"are in flight, and replaced; every fourth time all are, so that nobody is there for a moment. The server runs with `%s`, and answers are waited for "+
			"longer than that. Each event must get exactly one answer, an error code only if there was no backend, and each backend must get a "+
			"socket's events in order for as long as it lives.",
			p.Job.Clients, float64(p.Job.Batch)/p.Job.Every.Seconds(), p.Job.Batch, float64(p.Job.Batches)*p.Job.Every.Seconds(), p.Job.Backends,
			millis(p.Job.Think), p.Job.Rounds, strings.Join(p.Args, " "))
	},
	limits: []limit{
		none(job.Unanswered, "events without an answer"),
		none(job.Twice, "events answered more than once"),
		none(job.Stray, "packets and deliveries that belong to no event of their client"),
		none(job.Needless, "error codes though there was a backend all the while"),
		none(job.OtherCodes, "error codes other than NO_HANDLER and HANDLER_LOST"),
		none(job.Disorder, "events of a socket that a backend was handed out of order"),
		none(job.Moved, "events handed to another backend while the socket's own was alive"),
		none(job.Repeated, "events handed out more often than once, and once again"),
		none(job.Gone, "clients that lost their connection"),
		{job.Behind, 5, "how much slower than that events were sent, percent"},
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%.0f events at %.0f/s, %.0f kills; %.0f answered by a backend, %.0f with NO_HANDLER, %.0f with HANDLER_LOST; %.0f were redelivered; "+
			"p50 %.1f ms, p99 %.1f ms",
			f[job.Asked], f[job.Rate], f[job.Kills], f[job.Answered], f[job.NoHandler], f[job.HandlerLost], f[job.Redelivered], f[job.P50], f[job.P99])
	},
}
