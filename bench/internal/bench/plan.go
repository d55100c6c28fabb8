package bench

import (
	"slices"
	"time"

	"github.com/salabroker/sala/bench/load"
)

// The names of profiles.
const (
	ProfileBurst      = "burst"
	ProfilePaced      = "paced"
	ProfileRooms      = "rooms"
	ProfileWide       = "wide"
	ProfileConnect    = "connect"
	ProfileHandshakes = "handshakes"
	ProfileControl    = "control"
	ProfileEvents     = "events"
	ProfileCluster    = "cluster"
	ProfileIdle       = "idle"
	ProfileDefault    = "default"
)

// Profile is a benchmark that is run a number of times.
type Profile struct {
	Name      string
	Runs      int
	Benchmark Benchmark
}

// Plan says what is run.
type Plan struct {
	Quick    bool
	Profiles []Profile
	// Pause is how long a server is left alone before it is measured.
	Pause time.Duration
	// Timeout is how long messages may take to arrive.
	Timeout time.Duration
	// Deadline bounds each measurement.
	Deadline time.Duration
}

// FullPlan returns the benchmarks as they are published.
func FullPlan(runs int) Plan {
	const ms = time.Millisecond
	return Plan{
		Pause:    500 * ms,
		Timeout:  30 * time.Second,
		Deadline: 6 * time.Minute,
		Profiles: []Profile{
			{ProfileBurst, runs, Deliver{load.DeliveryConfig{Clients: 1000, Batch: 200}, 4, 1}},
			{ProfilePaced, runs, Deliver{load.DeliveryConfig{Clients: 1000, Batch: 1, Every: 20 * ms}, 300, 50}},
			{ProfileRooms, runs, Deliver{load.DeliveryConfig{Clients: 5000, Rooms: 10_000, Members: 10, Batch: 20, Every: 10 * ms}, 400, 50}},
			{ProfileWide, runs, Deliver{load.DeliveryConfig{Clients: 15_000, Batch: 1, Every: time.Second / 3}, 12, 2}},
			{ProfileConnect, runs, Connect{Clients: 3000, Warmup: 500}},
			{ProfileHandshakes, 1, Connect{Clients: 50_000, Drop: true}},
			{ProfileControl, runs, Control{Unary: 30_000, Stream: 100_000, REST: 10_000, Warmup: 2000}},
			{ProfileEvents, runs, Events{
				Clients: 100, Batch: 10, Every: 10 * ms, Batches: 400, WarmupBatches: 100, Events: 100_000, InFlight: 1000,
			}},
			{ProfileCluster, runs, Cluster{
				Clients: 500, Members: 10, Every: 20 * ms, Batch: 10, Calls: 2000, Batches: 60, WarmupBatches: 20, Rounds: 2, Burst: 200,
			}},
			{ProfileIdle, runs, Hold{Clients: 5000, Warmup: 50, Settle: 150 * time.Second}},
			{ProfileDefault, runs, Hold{Clients: 5000, Warmup: 50, Settle: 150 * time.Second, Polling: true}},
		},
	}
}

// QuickPlan returns the same with small numbers: it shows that everything works, and measures
// nothing.
func QuickPlan(runs int) Plan {
	const ms = time.Millisecond
	return Plan{
		Quick:    true,
		Pause:    100 * ms,
		Timeout:  10 * time.Second,
		Deadline: time.Minute,
		Profiles: []Profile{
			{ProfileBurst, runs, Deliver{load.DeliveryConfig{Clients: 200, Batch: 100}, 2, 1}},
			{ProfilePaced, runs, Deliver{load.DeliveryConfig{Clients: 200, Batch: 1, Every: 20 * ms}, 25, 5}},
			{ProfileRooms, runs, Deliver{load.DeliveryConfig{Clients: 200, Rooms: 400, Members: 10, Batch: 20, Every: 20 * ms}, 25, 5}},
			{ProfileWide, runs, Deliver{load.DeliveryConfig{Clients: 600, Batch: 1, Every: time.Second / 10}, 5, 1}},
			{ProfileConnect, runs, Connect{Clients: 200, Warmup: 50}},
			{ProfileHandshakes, 1, Connect{Clients: 500, Drop: true}},
			{ProfileControl, runs, Control{Unary: 500, Stream: 2000, REST: 200, Warmup: 50}},
			{ProfileEvents, runs, Events{
				Clients: 20, Batch: 10, Every: 10 * ms, Batches: 25, WarmupBatches: 5, Events: 2000, InFlight: 200,
			}},
			{ProfileCluster, runs, Cluster{
				Clients: 50, Members: 10, Every: 20 * ms, Batch: 10, Calls: 200, Batches: 20, WarmupBatches: 5, Rounds: 1, Burst: 50,
			}},
			{ProfileIdle, runs, Hold{Clients: 200, Warmup: 20, Settle: 2 * time.Second}},
			{ProfileDefault, runs, Hold{Clients: 200, Warmup: 20, Settle: 2 * time.Second, Polling: true}},
		},
	}
}

// Only returns the plan without all profiles other than the named ones.
func (p Plan) Only(names []string) Plan {
	p.Profiles = slices.DeleteFunc(slices.Clone(p.Profiles), func(profile Profile) bool {
		return !slices.Contains(names, profile.Name)
	})
	return p
}
