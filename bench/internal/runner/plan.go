package runner

import (
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
)

// The profiles.
const (
	Burst      = "burst"
	Paced      = "paced"
	Rooms      = "rooms"
	Wide       = "wide"
	Connect    = "connect"
	Handshakes = "handshakes"
	Control    = "control"
	Events     = "events"
	Cluster    = "cluster"
	Idle       = "idle"
	Default    = "default"
)

// Plan says what is run.
type Plan struct {
	Quick    bool
	Profiles []result.Profile
	// Pause is how long a server is left alone before it is measured.
	Pause time.Duration
	// Patience is how long messages may take to arrive.
	Patience time.Duration
	// Deadline bounds each measurement.
	Deadline time.Duration
}

// peersOf returns who takes part in a profile: all whose figure says something there. The library is left out where it
// would only show once more what it costs to deliver, and the floor where there is nothing to do for it.
func peersOf(profile string) []string {
	switch profile {
	case Control:
		return []string{Empty, Sala}
	case Default, Events, Cluster:
		return []string{Node, Sala}
	case Rooms, Wide:
		return []string{Floor, Node, Centrifuge, Sala}
	case Idle, Handshakes:
		return []string{Node, Centrifuge, Library, Sala}
	default:
		return []string{Floor, Node, Centrifuge, Library, Sala}
	}
}

// FullPlan returns the benchmarks as they are published.
func FullPlan(runs int) Plan {
	return Plan{
		Pause:    500 * time.Millisecond,
		Patience: 30 * time.Second,
		Deadline: 6 * time.Minute,
		Profiles: []result.Profile{
			{Name: Burst, Runs: runs, Job: job.Job{Kind: job.Deliver, Clients: 1000, Batch: 200, Batches: 4, WarmupBatches: 1}},
			{Name: Paced, Runs: runs, Job: job.Job{Kind: job.Deliver, Clients: 1000, Batch: 1, Every: 20 * time.Millisecond, Batches: 300, WarmupBatches: 50}},
			{Name: Rooms, Runs: runs, Job: job.Job{
				Kind: job.Deliver, Clients: 5000, Rooms: 10_000, Members: 10,
				Batch: 20, Every: 10 * time.Millisecond, Batches: 400, WarmupBatches: 50,
			}},
			{Name: Wide, Runs: runs, Job: job.Job{Kind: job.Deliver, Clients: 15_000, Batch: 1, Every: time.Second / 3, Batches: 12, WarmupBatches: 2}},
			{Name: Connect, Runs: runs, Job: job.Job{Kind: job.Connect, Clients: 3000, Warmup: 500}},
			{Name: Handshakes, Runs: 1, Job: job.Job{Kind: job.Connect, Clients: 50_000, Drop: true}},
			{Name: Control, Runs: runs, Job: job.Job{Kind: job.Control, Clients: 1, Unary: 30_000, Stream: 100_000, REST: 10_000, Warmup: 2000}},
			{Name: Events, Runs: runs, Job: job.Job{
				Kind: job.Events, Clients: 100, Batch: 10, Every: 10 * time.Millisecond, Batches: 400, WarmupBatches: 100,
				Events: 100_000, InFlight: 1000,
			}},
			{Name: Cluster, Runs: runs, Job: job.Job{
				Kind: job.Cluster, Clients: 500, Members: 10, Every: 20 * time.Millisecond, Batch: 10, Calls: 2000,
				Batches: 60, WarmupBatches: 20, Rounds: 2, BurstOf: 200,
			}},
			{Name: Idle, Runs: runs, Job: job.Job{Kind: job.Hold, Clients: 5000, Warmup: 50, Settle: 150 * time.Second}},
			{Name: Default, Runs: runs, Job: job.Job{Kind: job.Hold, Clients: 5000, Warmup: 50, Settle: 150 * time.Second, Polling: true}},
		},
	}
}

// QuickPlan returns the same in small and once: it shows that everything works, and measures nothing.
func QuickPlan(runs int) Plan {
	return Plan{
		Quick:    true,
		Pause:    100 * time.Millisecond,
		Patience: 10 * time.Second,
		Deadline: time.Minute,
		Profiles: []result.Profile{
			{Name: Burst, Runs: runs, Job: job.Job{Kind: job.Deliver, Clients: 200, Batch: 100, Batches: 2, WarmupBatches: 1}},
			{Name: Paced, Runs: runs, Job: job.Job{Kind: job.Deliver, Clients: 200, Batch: 1, Every: 20 * time.Millisecond, Batches: 25, WarmupBatches: 5}},
			{Name: Rooms, Runs: runs, Job: job.Job{
				Kind: job.Deliver, Clients: 200, Rooms: 400, Members: 10,
				Batch: 20, Every: 20 * time.Millisecond, Batches: 25, WarmupBatches: 5,
			}},
			{Name: Wide, Runs: runs, Job: job.Job{Kind: job.Deliver, Clients: 600, Batch: 1, Every: time.Second / 10, Batches: 5, WarmupBatches: 1}},
			{Name: Connect, Runs: runs, Job: job.Job{Kind: job.Connect, Clients: 200, Warmup: 50}},
			{Name: Handshakes, Runs: 1, Job: job.Job{Kind: job.Connect, Clients: 500, Drop: true}},
			{Name: Control, Runs: runs, Job: job.Job{Kind: job.Control, Clients: 1, Unary: 500, Stream: 2000, REST: 200, Warmup: 50}},
			{Name: Events, Runs: runs, Job: job.Job{
				Kind: job.Events, Clients: 20, Batch: 10, Every: 10 * time.Millisecond, Batches: 25, WarmupBatches: 5,
				Events: 2000, InFlight: 200,
			}},
			{Name: Cluster, Runs: runs, Job: job.Job{
				Kind: job.Cluster, Clients: 50, Members: 10, Every: 20 * time.Millisecond, Batch: 10, Calls: 200,
				Batches: 20, WarmupBatches: 5, Rounds: 1, BurstOf: 50,
			}},
			{Name: Idle, Runs: runs, Job: job.Job{Kind: job.Hold, Clients: 200, Warmup: 20, Settle: 2 * time.Second}},
			{Name: Default, Runs: runs, Job: job.Job{Kind: job.Hold, Clients: 200, Warmup: 20, Settle: 2 * time.Second, Polling: true}},
		},
	}
}

// Only returns the plan with no other profiles than these.
func (p Plan) Only(names []string) Plan {
	p.Profiles = slices.DeleteFunc(slices.Clone(p.Profiles), func(profile result.Profile) bool {
		return !slices.Contains(names, profile.Name)
	})
	return p
}
