package clusters

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

const (
	// shortOutage bounds how long Redis is away each time, and longOutage is for how long it is
	// away at the end.
	shortOutage = 300 * time.Millisecond
	longOutage  = 5 * time.Second
)

// KillRedis kills the Redis of a cluster again and again.
type KillRedis struct {
	Traffic
	Kills int
}

// NewKillRedis returns the scenario.
func NewKillRedis(quick bool) scenario.Scenario {
	return &KillRedis{traffic(quick), rounds(quick, 100, 3)}
}

// Info implements [scenario.Scenario].
func (s *KillRedis) Info() scenario.Info {
	return scenario.Info{
		Name:  "kill-redis",
		Title: "Redis is killed",
		Description: s.describe() + fmt.Sprintf("%d times Redis is killed, and started again within 0.3 s; and once more for 5 s in which no messages are "+
			"sent. Each client must receive each message that its own node accepted, throughout, and each message of other nodes whose answer was "+
			"not partial.", s.Kills),
		Limits: limits(
			keptConnections(),
			scenario.Zero(scenario.Refused, "messages that were not accepted"),
			scenario.Limit{Figure: scenario.Slowest, Max: 1000, What: "slowest answer, ms"},
			resumedWithin(5),
			scenario.Limit{Figure: figureSpinning, Max: 5, What: "CPU of the idle nodes without Redis, percent of one processor"},
		),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f kills", summary(f), f[scenario.Kills])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *KillRedis) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	return run(ctx, env, options{traffic: s.Traffic, verdict: verdict{owed: ownNode}}, func(r *chaosRun, ctx context.Context) error {
		kill := func() error {
			r.cluster.Redis.Kill()
			return nil
		}
		restart := func() error { return r.cluster.StartRedis(ctx) }
		for n := range s.Kills {
			if err := r.breakFor(ctx, rand.N(shortOutage), kill, restart); err != nil {
				return fmt.Errorf("kill %d: %w", n+1, err)
			}
		}
		if err := r.measureIdle(ctx); err != nil {
			return err
		}
		r.checkAnswers()
		return nil
	})
}

// measureIdle measures the CPU time of the nodes while there is neither a Redis nor anything to do.
func (r *chaosRun) measureIdle(ctx context.Context) error {
	r.publishers.pause(true)
	r.cluster.Redis.Kill()
	r.figures[scenario.Kills]++
	before, err := r.cpu()
	if err != nil {
		return err
	}
	if err := load.Sleep(ctx, longOutage); err != nil {
		return err
	}
	after, err := r.cpu()
	if err != nil {
		return err
	}
	r.figures[figureSpinning] = float64(after-before) / float64(longOutage) * 100
	r.publishers.pause(false)
	if err := r.cluster.StartRedis(ctx); err != nil {
		return err
	}
	return r.awaitResumed(ctx)
}

// cpu returns the CPU time of all nodes.
func (r *chaosRun) cpu() (all time.Duration, err error) {
	for _, node := range r.cluster.Nodes {
		used, err := process.CPU(node.Target().PID)
		if err != nil {
			return 0, err
		}
		all += used
	}
	return all, nil
}

// checkAnswers adds how slow the slowest answer was and how many messages were refused.
func (r *chaosRun) checkAnswers() {
	for _, p := range r.publishers.list {
		p.mu.Lock()
		for _, m := range p.sent {
			if m.accepted {
				r.figures.Raise(scenario.Slowest, load.Millis(m.answered.Sub(m.sent)))
				continue
			}
			r.figures[scenario.Refused]++
			r.refusal = fmt.Errorf("node %d did not accept a message: %w", p.node+1, m.err)
		}
		p.mu.Unlock()
	}
}
