package clusters

import (
	"context"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

const (
	// longFault is longer than it takes others to take a node for dead, and shortFault is shorter.
	longFault  = 7 * time.Second
	shortFault = time.Second
	// slowDelay and slowRate are those of a slow network, in bytes a second.
	slowDelay = 60 * time.Millisecond
	slowRate  = 200 << 10
)

// Network has the network between nodes and Redis fail.
type Network struct {
	Traffic
	Rounds int
}

// NewNetwork returns the scenario.
func NewNetwork(quick bool) scenario.Scenario { return &Network{traffic(quick), rounds(quick, 2, 1)} }

// Info implements [scenario.Scenario].
func (s *Network) Info() scenario.Info {
	where := "once for one node"
	if s.Rounds > 1 {
		where = fmt.Sprintf("%d times, alternately for one node and for all nodes", s.Rounds)
	}
	return scenario.Info{
		Name:  "network",
		Title: "The network to Redis",
		Description: s.describe() + "Each node reaches Redis through a proxy, which closes connections for 1 s and for 7 s, discards for 7 s what goes to " +
			"Redis and then what comes from it, delays it by 60 ms, and passes 200 KiB a second: " + where + ". " + ownAndComplete +
			" This does not apply to what other nodes accepted when they had not heard from its node for so long that they may have taken it for " +
			"dead, 3 s.",
		Limits: limits(keptConnections(), resumedWithin(10)),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f faults", summary(f), f[scenario.Kills])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Network) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	ps, o := &proxies{}, &outages{}
	opts := options{traffic: s.Traffic, redis: ps, verdict: verdict{owed: ownNode, excused: o.excuse}}
	return run(ctx, env, opts, func(r *chaosRun, ctx context.Context) error {
		for n := range s.Rounds {
			nodes := []int{n / 2 % len(*ps)}
			if n%2 == 1 {
				nodes = []int{0, 1, 2}
			}
			for _, bad := range []struct {
				name string
				fault
				d time.Duration
			}{
				{"cut", fault{cut: true}, shortFault},
				{"cut for long", fault{cut: true}, longFault},
				{"nothing reaches Redis", fault{toRedisLost: true}, longFault},
				{"nothing comes from Redis", fault{toNodeLost: true}, longFault},
				{"late", fault{delay: slowDelay}, shortFault},
				{"slow", fault{rate: slowRate}, shortFault},
			} {
				if err := o.during(ctx, r, nodes, bad.d, ps.set(nodes, bad.fault), ps.set(nodes, fault{})); err != nil {
					return fmt.Errorf("%s, at nodes %v: %w", bad.name, nodes, err)
				}
			}
		}
		return nil
	})
}
