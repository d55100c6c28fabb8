package runner

import (
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
)

// Soak is the profile of a soak, which is Sala's alone.
const Soak = "soak"

// SoakPlan returns a soak of so long.
func SoakPlan(duration time.Duration, quick bool) Plan {
	return Plan{
		Quick:    quick,
		Pause:    500 * time.Millisecond,
		Patience: time.Minute,
		Deadline: duration + 5*time.Minute,
		Profiles: []result.Profile{
			{Name: Soak, Runs: 1, Job: job.Job{Kind: job.Soak, Clients: 200, Dropped: 500, Duration: duration},
				Args: []string{"--ping-interval", "15s", "--ping-timeout", "3s"}},
		},
	}
}
