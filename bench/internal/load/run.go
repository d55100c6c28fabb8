// Package load is the load generator: clients by the thousand in one process that leaves the processors to the server
// under test, a publisher, and what they measure.
//
// A client connects in blocking mode on a bare file descriptor (stream, protocol) and is then handed to a pool, where
// one goroutine reads from all with epoll, answers pings and counts what is delivered. Publisher and clients are in
// one process, so that the time between publishing and reading is told by one clock.
package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

// trailing is for what a server does behind the last delivery.
const trailing = 50 * time.Millisecond

// Run does a job. It calls connected, for jobs that keep clients, once all are connected.
func Run(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	switch j.Kind {
	case job.Deliver:
		return runDeliver(ctx, j, connected)
	case job.Hold:
		return runHold(ctx, j, connected)
	case job.Connect:
		return runConnect(ctx, j)
	case job.Control:
		return runControl(ctx, j)
	case job.Events:
		return runEvents(ctx, j)
	case job.Stall:
		return runStall(ctx, j)
	case job.Cut:
		return runCut(ctx, j)
	case job.Hostile:
		return runHostile(ctx, j)
	case job.Shares:
		return runShares(ctx, j)
	case job.Grab:
		return runGrab(ctx, j, connected)
	case job.Attack:
		return runAttack(ctx, j, connected)
	case job.Burn:
		return runBurn(ctx, j, connected)
	case job.Storm:
		return runStorm(ctx, j)
	case job.Comeback:
		return runComeback(ctx, j, connected)
	case job.Terminate:
		return runTerminate(ctx, j)
	case job.Resets:
		return runResets(ctx, j)
	case job.Files:
		return runFiles(ctx, j)
	case job.Farewell:
		return runFarewell(ctx, j)
	case job.Upgrade:
		return runUpgrade(ctx, j)
	case job.KillBackends:
		return runKillBackends(ctx, j)
	case job.Cluster:
		return runCluster(ctx, j, connected)
	case job.KillNodes:
		return runKillNodes(ctx, j)
	case job.KillRedis:
		return runKillRedis(ctx, j)
	case job.Freeze:
		return runFreeze(ctx, j)
	case job.Network:
		return runNetwork(ctx, j)
	case job.Refusals:
		return runRefusals(ctx, j)
	case job.Sentinel:
		return runSentinel(ctx, j)
	case job.RedisCluster:
		return runRedisCluster(ctx, j)
	case job.Skew:
		return runSkew(ctx, j)
	case job.KillPairs:
		return runKillPairs(ctx, j)
	case job.Rolling:
		return runRolling(ctx, j)
	case job.Membership:
		return runMembership(ctx, j)
	default:
		return nil, fmt.Errorf("no such job: %q", j.Kind)
	}
}

// inParallel calls f for each number below n, on so many goroutines, until one of the calls fails.
func inParallel(ctx context.Context, workers, n int, f func(ctx context.Context, i int) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workers, n) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := f(ctx, int(i)); err != nil {
					fail(err)
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// readAfter waits and then returns what a process has used.
func readAfter(ctx context.Context, d time.Duration, pid int) (proc.Usage, error) {
	if err := pause(ctx, d); err != nil {
		return proc.Usage{}, err
	}
	return proc.Read(pid)
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func kib(bytes int64) float64 { return float64(bytes) / 1024 }
