package faults

import (
	"fmt"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var terminate = fault{
	profile: runner.Terminate,
	title:   "SIGTERM under load",
	text: func(p result.Profile) string {
		rate := 1 / p.Job.Every.Seconds()
		return fmt.Sprintf("%d clients, to whom %.0f messages a second go by single calls and %.0f over an EmitStream, and who send %.0f events a second to a backend "+
			"that answers them. In the middle of that the server is told to end, %d times over, each time another one. It runs with `%s`. Each accepted message must reach exactly as many "+
			"clients as its answer said, before SIGTERM and behind it; each client must get what it gets without a gap, and be told why it has to go. Each event gets one "+
			"answer or the end of its connection; those that were sent more than a second before must be answered.",
			p.Job.Clients, rate, rate, 2*rate, p.Job.Rounds, strings.Join(p.Args, " "))
	},
	limits: []limit{
		none(job.Missing, "deliveries that an answer had counted and that were not made"),
		none(job.Disorder, "messages that clients missed in between, or got out of order"),
		none(job.Unanswered, "events sent more than a second before and never answered"),
		none(job.Stray, "answers that nobody waited for, second ones included"),
		none(job.Unheard, "connections that ended without a goodbye"),
		none(job.Failed, "exit codes other than 0"),
		{job.Ended, runner.DrainTimeout.Seconds(), "seconds until the server had ended"},
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%.0f messages accepted, %.0f received by %.0f clients; %.0f events, %.0f answered, %.0f of these with an error",
			f[job.Accepted], f[job.Received], f[job.Clients], f[job.Asked], f[job.Answered], f[job.OtherCodes])
	},
}
