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

// NewPlan returns the benchmarks as they are published, or, if it is to be quick, with small numbers:
// then they show that everything works, and measure nothing.
func NewPlan(quick bool, runs int) Plan {
	const ms = time.Millisecond
	n := func(full, small int) int { return pick(quick, full, small) }
	d := func(full, short time.Duration) time.Duration { return pick(quick, full, short) }
	hold := Hold{Clients: n(5000, 200), Warmup: n(50, 20), Settle: d(150*time.Second, 2*time.Second)}
	polling := hold
	polling.Polling = true
	return Plan{
		Quick:    quick,
		Pause:    d(500*ms, 100*ms),
		Timeout:  d(30*time.Second, 10*time.Second),
		Deadline: d(6*time.Minute, time.Minute),
		Profiles: []Profile{
			{ProfileBurst, runs, Deliver{load.DeliveryConfig{Clients: n(1000, 200), Batch: n(200, 100)}, n(4, 2), 1}},
			{ProfilePaced, runs, Deliver{load.DeliveryConfig{Clients: n(1000, 200), Batch: 1, Every: 20 * ms}, n(300, 25), n(50, 5)}},
			{ProfileRooms, runs, Deliver{load.DeliveryConfig{
				Clients: n(5000, 200), Rooms: n(10_000, 400), Members: 10, Batch: 20, Every: d(10*ms, 20*ms),
			}, n(400, 25), n(50, 5)}},
			{ProfileWide, runs, Deliver{load.DeliveryConfig{
				Clients: n(15_000, 600), Batch: 1, Every: d(time.Second/3, time.Second/10),
			}, n(12, 5), n(2, 1)}},
			{ProfileConnect, runs, Connect{Clients: n(3000, 200), Warmup: n(500, 50)}},
			{ProfileHandshakes, 1, Connect{Clients: n(50_000, 500), Drop: true}},
			{ProfileControl, runs, Control{Unary: n(30_000, 500), Stream: n(100_000, 2000), REST: n(10_000, 200), Warmup: n(2000, 50)}},
			{ProfileEvents, runs, Events{
				Clients: n(100, 20), Batch: 10, Every: 10 * ms, Batches: n(400, 25), WarmupBatches: n(100, 5),
				Events: n(100_000, 2000), InFlight: n(1000, 200),
			}},
			{ProfileCluster, runs, Cluster{
				Clients: n(500, 50), Members: 10, Every: 20 * ms, Batch: 10, Calls: n(2000, 200), Batches: n(60, 20),
				WarmupBatches: n(20, 5), Rounds: n(2, 1), Burst: n(200, 50),
			}},
			{ProfileIdle, runs, hold},
			{ProfileDefault, runs, polling},
		},
	}
}

// pick returns one of two values.
func pick[T any](quick bool, full, small T) T {
	if quick {
		return small
	}
	return full
}

// Only returns the plan without all profiles other than the named ones.
func (p Plan) Only(names []string) Plan {
	p.Profiles = slices.DeleteFunc(slices.Clone(p.Profiles), func(profile Profile) bool {
		return !slices.Contains(names, profile.Name)
	})
	return p
}
