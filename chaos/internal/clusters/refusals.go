package clusters

import (
	"context"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// refusedFor is how long Redis refuses a command.
const refusedFor = 6 * time.Second

// Refusals has Redis refuse commands, as after a mistake in its access rules.
type Refusals struct {
	Traffic
	Rounds int
}

// NewRefusals returns the scenario.
func NewRefusals(quick bool) scenario.Scenario { return &Refusals{traffic(quick), rounds(quick, 2, 1)} }

// Info implements [scenario.Scenario].
func (s *Refusals) Info() scenario.Info {
	return scenario.Info{
		Name:  "refusals",
		Title: "A Redis that refuses commands",
		Description: s.describe() + fmt.Sprintf("%d times the ACL of Redis refuses for 6 s to let the nodes publish, then to let them subscribe, then both on "+
			"all channels. ", s.Rounds) + ownAndComplete,
		Limits: limits(keptConnections(), resumedWithin(10)),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f refusals", summary(f), f[scenario.Kills])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Refusals) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	var redis string
	o := &outages{}
	opts := options{
		traffic: s.Traffic, verdict: verdict{owed: ownNode, excused: o.excuse},
		prepare: func(c *process.Cluster) { redis = c.Redis.Target.Listen },
	}
	return run(ctx, env, opts, func(r *chaosRun, ctx context.Context) error {
		for range s.Rounds {
			for _, rule := range []struct{ refuse, allow string }{
				{"-publish -spublish", "+publish +spublish"},
				{"-subscribe -ssubscribe", "+subscribe +ssubscribe"},
				{"resetchannels &nothing", "allchannels"},
			} {
				set := func(rule string) func() error {
					return func() error { return redisCall(ctx, redis, "ACL SETUSER default "+rule) }
				}
				if err := o.during(ctx, r, []int{0, 1, 2}, refusedFor, set(rule.refuse), set(rule.allow)); err != nil {
					return fmt.Errorf("%s: %w", rule.refuse, err)
				}
			}
		}
		return nil
	})
}
