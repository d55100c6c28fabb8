package load

import (
	"context"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// burnOf returns the job that takes as much of the processors, as often, as an attacker did with these figures.
func burnOf(j *job.Job, attacker job.Figures) job.Job {
	times := max(1, attacker[job.Blows]+attacker[job.Refused])
	burn := *j
	burn.Kind = job.Burn
	burn.Every = time.Duration(attacker[job.Seconds] / times * float64(time.Second))
	burn.Think = time.Duration(attacker[job.LoadCPU] / times * float64(time.Microsecond))
	return burn
}

// runBurn goes on until it is told to end, which is no error.
func runBurn(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	connected()
	begin, before := time.Now(), ownCPU()
	for next := begin; pause(ctx, time.Until(next)) == nil; {
		for start := ownCPU(); ctx.Err() == nil && ownCPU()-start < j.Think; {
		}
		next = next.Add(j.Every)
		if late := time.Since(next); late > j.Every {
			next = next.Add(late) // it isn't made up for
		}
	}
	return job.Figures{job.Seconds: time.Since(begin).Seconds(), job.LoadCPU: micros(ownCPU() - before)}, nil
}
