package attacks

import (
	"context"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Roles of children.
const (
	attackRole = "attack"
	greedyRole = "greedy"
	burnRole   = "burn"
)

// Roles returns the roles of children that these scenarios need.
func Roles() map[string]process.Role {
	return map[string]process.Role{
		attackRole: process.NewRole(runAttacks),
		greedyRole: process.NewRole(runGreedy),
		burnRole:   process.NewRole(runBurn),
	}
}

// burnConfig configures a process that takes CPU time.
type burnConfig struct {
	Every, CPU time.Duration
}

// newBurnConfig returns a configuration that takes as much CPU time, as often, as an attacker with
// these figures.
func newBurnConfig(attacker results.Figures) burnConfig {
	times := max(1, attacker[figureAttempts]+attacker[scenario.Refused])
	return burnConfig{
		Every: time.Duration(attacker[scenario.Seconds] / times * float64(time.Second)),
		CPU:   time.Duration(attacker[scenario.LoadCPU] / times * float64(time.Microsecond)),
	}
}

// runBurn takes CPU time until it gets SIGTERM.
func runBurn(ctx context.Context, c burnConfig, notify func(any)) (any, error) {
	notify(process.Ready{})
	begin, before := time.Now(), process.OwnCPU()
	repeat(ctx, begin, c.Every, func(int) {
		for start := process.OwnCPU(); ctx.Err() == nil && process.OwnCPU()-start < c.CPU; {
		}
	})
	return results.Figures{
		scenario.Seconds: time.Since(begin).Seconds(), scenario.LoadCPU: load.Micros(process.OwnCPU() - before),
	}, nil
}

// repeat calls do at a pace until ctx ends. It does not make up for calls that come too late.
func repeat(ctx context.Context, begin time.Time, every time.Duration, do func(n int)) {
	next := begin
	for n := 0; load.Sleep(ctx, time.Until(next)) == nil; n++ {
		do(n)
		next = next.Add(every)
		if late := time.Since(next); late > every {
			next = next.Add(late)
		}
	}
}
