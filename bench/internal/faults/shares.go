package faults

import (
	"fmt"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var shares = fault{
	profile: runner.Shares,
	title:   "More than one's share",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients in one room, %.0f messages a second by one API key. Meanwhile another key, or clients and callers without one from a single address, "+
			"take all that they can get of what belongs to everybody: memory, connections, streams, subscriptions, answers. The server has a memory limit of %d MB. "+
			"Latency is measured in turn with and without each, in windows of %.1f s; during those without, a process that has nothing to do with the server takes as much of the "+
			"processors. The ratio is that of the medians of %d of each, or up to %d. All the while `/livez` and the health service are "+
			"asked as an orchestrator asks them, each time over a new connection and for at most a second, and the first key emits over REST.",
			p.Job.Clients, 1/p.Job.Every.Seconds(), runner.SharesMemory/1_000_000, float64(p.Job.Batches)*p.Job.Every.Seconds(), p.Job.Rounds, p.Job.Windows)
	},
	limits: []limit{
		{job.P99Ratio, 1.2, "p99 of the others in the worst case, in proportion to without"},
		{job.Resident, runner.SharesMemory >> 20, "resident memory at any time, MiB"},
		none(job.Unwell, "probes that were not answered"),
		none(job.Denied, "calls of the other key that were refused or not answered"),
		none(job.Faulty, "lines of the log that say that the broker is at fault"),
		none(job.Missing, "messages that the others missed"),
		none(job.Disorder, "messages that the others got out of order"),
		none(job.Gone, "others who lost their connection"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%d ways to take more, %.0f probes", len(attacksOf(f)), f[job.Probes])
	},
	details: func(f job.Figures) string {
		var b strings.Builder
		b.WriteString("| what is taken | tries a second | refused or ended a second | server's CPU, µs each | memory, MiB | probes lost | calls lost | p99 ratio |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
		for _, name := range attacksOf(f) {
			of := func(figure string) float64 { return f[job.Of(figure, name)] }
			fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.1f | %.0f | %.0f | %.0f | %.2f |\n",
				name, of(job.Rate), of(job.Gone), of(job.CPU), of(job.Resident), of(job.Unwell), of(job.Denied), of(job.P99Ratio))
		}
		return b.String()
	},
}
