package faults

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var hostile = fault{
	profile: runner.Hostile,
	title:   "Hostile clients",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients in one room, %.0f messages of about 130 bytes a second. Meanwhile another process does what no client should, one thing "+
			"after the other and then everything at once, over new connections where it is disconnected. None does so more than 1,000 times a second, since the processors are "+
			"shared and it is not the machine that is to be tried out. Latency is measured in turn with and without an attack, in windows of "+
			"%.1f s. During those without, a process that has nothing to do with the server takes as much of the processors, as often, as the attacker took. The ratio is that of the medians of %d of each. Where it is above 1.15, which may be chance, up to %d more of each are measured, and all of them count.",
			p.Job.Clients, 1/p.Job.Every.Seconds(), float64(p.Job.Batches)*p.Job.Every.Seconds(), p.Job.Rounds, p.Job.Windows-p.Job.Rounds)
	},
	limits: []limit{
		{job.P99Ratio, 1.2, "p99 of the others during the worst attack, in proportion to without"},
		{job.AtOnce, 1.2, "the same with all attacks at once"},
		{job.Held, 64 << 10, "growth of the resident memory at any time, KiB"},
		{job.MoreHeap, 2048, "live heap more than before, when it is over, KiB"},
		{job.MoreGos, float64(job.KeptReaders * runtime.NumCPU()), "goroutines more than before"},
		none(job.MoreFiles, "open files more than before"),
		none(job.Listed, "connections more than before"),
		none(job.Faulty, "lines of the log that say that the broker is at fault"),
		none(job.Missing, "messages that the others missed"),
		none(job.Disorder, "messages that the others got out of order"),
		none(job.Gone, "others who lost their connection"),
	},
	told:    func(f job.Figures) string { return fmt.Sprintf("%d attacks", len(attacksOf(f))) },
	details: attacksTable,
}

// attacksOf returns the names of the attacks that were measured, in the order of the alphabet.
func attacksOf(f job.Figures) []string { return partsOf(f, job.P99Ratio) }

func attacksTable(f job.Figures) string {
	var b strings.Builder
	b.WriteString("| attack | a second | KiB a second | disconnected or refused a second | server's CPU, µs each | sender's CPU, µs each | p99 ratio |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, name := range attacksOf(f) {
		of := func(figure string) float64 { return f[job.Of(figure, name)] }
		fmt.Fprintf(&b, "| %s | %.0f | %.1f | %.0f | %.1f | %.1f | %.2f |\n",
			name, of(job.Rate), of(job.Bytes)/1024, of(job.Gone), of(job.CPU), of(job.LoadCPU), of(job.P99Ratio))
	}
	return b.String()
}
