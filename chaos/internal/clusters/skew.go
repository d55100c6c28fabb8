package clusters

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

const (
	// skewedBinary is a node whose clock can be wrong. It is built beside this program.
	skewedBinary = "skewednode"
	// skew is how wrong its clock is: more than nodes tolerate.
	skew = 45 * time.Second
	// skewedFor is how long it is wrong: longer than it takes others to take the node for dead.
	skewedFor = 8 * time.Second
)

// Skew sets the clock of a node wrong for a while.
type Skew struct {
	Traffic
	Rounds int
}

// NewSkew returns the scenario.
func NewSkew(quick bool) scenario.Scenario { return &Skew{traffic(quick), rounds(quick, 2, 1)} }

// Info implements [scenario.Scenario].
func (s *Skew) Info() scenario.Info {
	return scenario.Info{
		Name:  "skew",
		Title: "A clock that is wrong",
		Description: s.describe() + fmt.Sprintf("%d times the clock of one node is %v ahead for %v, so that nodes reject each other's messages. (That node is "+
			"a test program around the same broker, whose clock can be set.) ", s.Rounds, skew, skewedFor) + ownAndComplete,
		Limits:  limits(keptConnections(), resumedWithin(10)),
		Summary: summary,
	}
}

// Run implements [scenario.Scenario].
func (s *Skew) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	const skewed = 1
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := options{traffic: s.Traffic, verdict: verdict{owed: ownNode}, prepare: func(c *process.Cluster) {
		node := &c.Nodes[skewed]
		node.Path = filepath.Join(filepath.Dir(self), skewedBinary)
		node.Args = append(node.Args, "--skew", skew.String())
	}}
	return run(ctx, env, o, func(r *chaosRun, ctx context.Context) error {
		toggle := func() error { return r.cluster.Nodes[skewed].Signal(syscall.SIGUSR1) }
		for n := range s.Rounds {
			if err := r.breakFor(ctx, skewedFor, toggle, toggle); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		return nil
	})
}
