package runner

import (
	"strconv"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
)

// The profiles in which something goes wrong. They are Sala's alone.
const (
	Stalled   = "stalled"
	Abrupt    = "abrupt"
	Hostile   = "hostile"
	Shares    = "shares"
	Storm     = "storm"
	Terminate = "terminate"
	Resets    = "resets"
	Files     = "files"
	Order     = "order"
	Upgrades  = "upgrades"
	OverWS    = "handshakes-websocket"
	OverPolls = "handshakes-polling"
	// KillBackends is about those who hear clients' events.
	KillBackends = "kill-backends"
)

// The same of clusters.
const (
	KillNodes  = "kill-nodes"
	KillRedis  = "kill-redis"
	Frozen     = "frozen"
	KillPairs  = "kill-pairs"
	Network    = "network"
	Refusals   = "refusals"
	Failover   = "sentinel"
	Shards     = "redis-cluster"
	Skew       = "skew"
	Rolling    = "rolling"
	Membership = "membership"
)

// DrainTimeout is how long servers that are told to end may take.
const DrainTimeout = 10 * time.Second

// DrainSpread is over how long the servers of a cluster send their clients away.
const DrainSpread = 2 * time.Second

func drainArgs() []string {
	return []string{"--drain-timeout", DrainTimeout.String(), "--drain-spread", DrainSpread.String()}
}

// resetArgs are for servers whose connections are reset: those over long-polling without a poll pending are only found by
// the heartbeat.
func resetArgs() []string {
	return append(drainArgs(), "--ping-interval", "3s", "--ping-timeout", "2s")
}

// SharesMemory is the memory limit of the server that greedy callers and clients try, in bytes.
const SharesMemory = 500_000_000

// sharesArgs are for a server from which some take more than their share: limits for an address hold for theirs.
func sharesArgs() []string {
	return []string{"--memory-limit-bytes", strconv.Itoa(SharesMemory), "--limit-exempt", "127.0.0.0/24"}
}

// FaultPlan returns the faults as they are published.
func FaultPlan() Plan {
	drain := drainArgs()
	return Plan{
		Pause:    500 * time.Millisecond,
		Patience: time.Minute,
		Deadline: 25 * time.Minute,
		Profiles: []result.Profile{
			{Name: Stalled, Runs: 1, Job: job.Job{
				Kind: job.Stall, Clients: 900, Stalled: 100,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 150, WarmupBatches: 100, Windows: 2, Rounds: 5,
			}},
			{Name: Abrupt, Runs: 1, Job: job.Job{Kind: job.Cut, Clients: 10_000, Warmup: 500, Rounds: 3},
				Args: []string{"--ping-interval", "15s", "--ping-timeout", "3s"}},
			{Name: Hostile, Runs: 1, Job: job.Job{
				Kind: job.Hostile, Clients: 1000,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 40, WarmupBatches: 100, Rounds: 5, Windows: 25,
			}},
			{Name: Shares, Runs: 1, Job: job.Job{
				Kind: job.Shares, Clients: 1000,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 60, WarmupBatches: 100, Rounds: 3, Windows: 5,
			}, Args: sharesArgs()},
			{Name: Storm, Runs: 1, Job: job.Job{
				Kind: job.Storm, Clients: 1000, Dropped: 14_000,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 50, WarmupBatches: 100,
			}},
			{Name: Order, Runs: 1, Job: job.Job{Kind: job.Farewell, Clients: 10_000}},
			{Name: Upgrades, Runs: 1, Job: job.Job{Kind: job.Upgrade, Clients: 5000, Every: 4 * time.Millisecond}},
			{Name: Terminate, Runs: 1, Job: job.Job{Kind: job.Terminate, Clients: 500, Every: 10 * time.Millisecond, Rounds: 5}, Args: drain},
			{Name: Resets, Runs: 1, Job: job.Job{Kind: job.Resets, Clients: 1_000_000, Every: 5 * time.Millisecond, Rounds: 5}, Args: resetArgs()},
			{Name: Files, Runs: 1, Job: job.Job{Kind: job.Files, Clients: 100, Dropped: 1500, Files: 600, Calls: 200, Every: 20 * time.Millisecond}},
			{Name: OverWS, Runs: 1, Job: job.Job{Kind: job.Connect, Clients: 50_000, Window: 200, Drop: true}},
			{Name: OverPolls, Runs: 1, Job: job.Job{Kind: job.Connect, Clients: 5000, Window: 200, Drop: true, Polling: true}},
			{Name: KillBackends, Runs: 1, Job: job.Job{
				Kind: job.KillBackends, Clients: 200, Backends: 3, Think: 20 * time.Millisecond,
				Batch: 10, Every: 2 * time.Millisecond, Batches: 10_000, Rounds: 9, Settle: 6 * time.Second,
			}, Args: []string{"--ack-timeout", "5s"}},
			{Name: KillNodes, Runs: 1, Job: job.Job{Kind: job.KillNodes, Clients: 20, Every: 10 * time.Millisecond, Rounds: 200}},
			{Name: KillRedis, Runs: 1, Job: job.Job{Kind: job.KillRedis, Clients: 20, Every: 10 * time.Millisecond, Rounds: 100}},
			{Name: Frozen, Runs: 1, Job: job.Job{Kind: job.Freeze, Clients: 20, Every: 10 * time.Millisecond, Rounds: 2}},
			{Name: KillPairs, Runs: 1, Job: job.Job{Kind: job.KillPairs, Clients: 20, Every: 10 * time.Millisecond, Rounds: 6}},
			{Name: Network, Runs: 1, Job: job.Job{Kind: job.Network, Clients: 20, Every: 10 * time.Millisecond, Rounds: 2}},
			{Name: Refusals, Runs: 1, Job: job.Job{Kind: job.Refusals, Clients: 20, Every: 10 * time.Millisecond, Rounds: 2}},
			{Name: Failover, Runs: 1, Job: job.Job{Kind: job.Sentinel, Clients: 20, Every: 10 * time.Millisecond, Rounds: 4}},
			{Name: Shards, Runs: 1, Job: job.Job{Kind: job.RedisCluster, Clients: 20, Every: 10 * time.Millisecond, Rounds: 4}},
			{Name: Skew, Runs: 1, Job: job.Job{Kind: job.Skew, Clients: 20, Every: 10 * time.Millisecond, Rounds: 2}},
			{Name: Rolling, Runs: 1, Job: job.Job{Kind: job.Rolling, Clients: 60, Every: 10 * time.Millisecond}, Args: drain},
			{Name: Membership, Runs: 1, Job: job.Job{Kind: job.Membership, Clients: 20, Calls: 1000}},
		},
	}
}

// QuickFaultPlan returns the same in small.
func QuickFaultPlan() Plan {
	drain := drainArgs()
	return Plan{
		Quick:    true,
		Pause:    100 * time.Millisecond,
		Patience: 30 * time.Second,
		Deadline: time.Minute,
		Profiles: []result.Profile{
			{Name: Stalled, Runs: 1, Job: job.Job{
				Kind: job.Stall, Clients: 180, Stalled: 20,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 50, WarmupBatches: 10, Windows: 2, Rounds: 1,
			}},
			{Name: Abrupt, Runs: 1, Job: job.Job{Kind: job.Cut, Clients: 500, Warmup: 50, Rounds: 2},
				Args: []string{"--ping-interval", "3s", "--ping-timeout", "1s"}},
			{Name: Hostile, Runs: 1, Job: job.Job{
				Kind: job.Hostile, Clients: 200,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 10, WarmupBatches: 10, Rounds: 1, Windows: 1,
			}},
			{Name: Shares, Runs: 1, Job: job.Job{
				Kind: job.Shares, Clients: 200,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 30, WarmupBatches: 10, Rounds: 1, Windows: 1,
			}, Args: sharesArgs()},
			{Name: Storm, Runs: 1, Job: job.Job{
				Kind: job.Storm, Clients: 200, Dropped: 1000,
				Batch: 1, Every: 20 * time.Millisecond, Batches: 20, WarmupBatches: 10,
			}},
			{Name: Order, Runs: 1, Job: job.Job{Kind: job.Farewell, Clients: 500}},
			{Name: Upgrades, Runs: 1, Job: job.Job{Kind: job.Upgrade, Clients: 300, Every: 4 * time.Millisecond}},
			{Name: Terminate, Runs: 1, Job: job.Job{Kind: job.Terminate, Clients: 100, Every: 10 * time.Millisecond, Rounds: 2}, Args: drain},
			{Name: Resets, Runs: 1, Job: job.Job{Kind: job.Resets, Clients: 6000, Every: 5 * time.Millisecond, Rounds: 2}, Args: resetArgs()},
			{Name: Files, Runs: 1, Job: job.Job{Kind: job.Files, Clients: 100, Dropped: 1500, Files: 600, Calls: 20, Every: 20 * time.Millisecond}},
			{Name: OverWS, Runs: 1, Job: job.Job{Kind: job.Connect, Clients: 2000, Window: 200, Drop: true}},
			{Name: OverPolls, Runs: 1, Job: job.Job{Kind: job.Connect, Clients: 500, Window: 200, Drop: true, Polling: true}},
			{Name: KillBackends, Runs: 1, Job: job.Job{
				Kind: job.KillBackends, Clients: 50, Backends: 3, Think: 20 * time.Millisecond,
				Batch: 10, Every: 4 * time.Millisecond, Batches: 1000, Rounds: 4, Settle: 3 * time.Second,
			}, Args: []string{"--ack-timeout", "2s"}},
			{Name: KillNodes, Runs: 1, Job: job.Job{Kind: job.KillNodes, Clients: 5, Every: 10 * time.Millisecond, Rounds: 6}},
			{Name: KillRedis, Runs: 1, Job: job.Job{Kind: job.KillRedis, Clients: 5, Every: 10 * time.Millisecond, Rounds: 3}},
			{Name: Frozen, Runs: 1, Job: job.Job{Kind: job.Freeze, Clients: 5, Every: 10 * time.Millisecond, Rounds: 1}},
			{Name: KillPairs, Runs: 1, Job: job.Job{Kind: job.KillPairs, Clients: 5, Every: 10 * time.Millisecond, Rounds: 1}},
			{Name: Network, Runs: 1, Job: job.Job{Kind: job.Network, Clients: 5, Every: 10 * time.Millisecond, Rounds: 1}},
			{Name: Refusals, Runs: 1, Job: job.Job{Kind: job.Refusals, Clients: 5, Every: 10 * time.Millisecond, Rounds: 1}},
			{Name: Failover, Runs: 1, Job: job.Job{Kind: job.Sentinel, Clients: 5, Every: 10 * time.Millisecond, Rounds: 2}},
			{Name: Shards, Runs: 1, Job: job.Job{Kind: job.RedisCluster, Clients: 5, Every: 10 * time.Millisecond, Rounds: 2}},
			{Name: Skew, Runs: 1, Job: job.Job{Kind: job.Skew, Clients: 5, Every: 10 * time.Millisecond, Rounds: 1}},
			{Name: Rolling, Runs: 1, Job: job.Job{Kind: job.Rolling, Clients: 10, Every: 10 * time.Millisecond}, Args: drain},
			{Name: Membership, Runs: 1, Job: job.Job{Kind: job.Membership, Clients: 5, Calls: 100}},
		},
	}
}
