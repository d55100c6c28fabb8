package clusters

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// frozenFor is how long a node is stopped: longer than it takes others to take it for dead.
const frozenFor = 10 * time.Second

// Frozen stops a node for a while, as a machine does that swaps or is moved.
type Frozen struct {
	Traffic
	Rounds int
}

// NewFrozen returns the scenario.
func NewFrozen(quick bool) scenario.Scenario { return &Frozen{traffic(quick), rounds(quick, 2, 1)} }

// Info implements [scenario.Scenario].
func (s *Frozen) Info() scenario.Info {
	return scenario.Info{
		Name:  "frozen",
		Title: "A node that freezes",
		Description: s.describe() + fmt.Sprintf("%d times one node is stopped for 10 s (`SIGSTOP`, `SIGCONT`). The clients of the other nodes must receive "+
			"each message that these accept, and all clients each message that all nodes counted; except for the frozen node's clients what others "+
			"accepted when they may have taken that node for dead, from 3 s after it froze.", s.Rounds),
		Limits: limits(
			keptConnections(),
			scenario.Limit{Figure: figureNoticed, Max: 5, What: "seconds until the other nodes had noticed"},
			resumedWithin(5),
		),
		Summary: summary,
	}
}

// Run implements [scenario.Scenario].
func (s *Frozen) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	const frozen = 1
	o := &outages{}
	v := verdict{
		owed:    func(m message, c *connection) bool { return m.node == c.node || m.node != frozen && c.node != frozen },
		excused: o.excuse,
	}
	return run(ctx, env, options{traffic: s.Traffic, verdict: v}, func(r *chaosRun, ctx context.Context) error {
		for n := range s.Rounds {
			begin := time.Now()
			if err := r.freeze(ctx, frozen); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
			o.add(begin, frozen)
		}
		return nil
	})
}

func (r *chaosRun) freeze(ctx context.Context, node int) error {
	if err := r.cluster.Nodes[node].Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	begin := time.Now()
	if err := r.awaitNoticed(ctx, node, begin); err != nil {
		return err
	}
	if err := load.Sleep(ctx, frozenFor-time.Since(begin)); err != nil {
		return err
	}
	if err := r.cluster.Nodes[node].Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return r.awaitResumed(ctx)
}
