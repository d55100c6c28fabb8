package load

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

const (
	// skewedBinary is a node whose clock can be wrong; it is beside the load generator.
	skewedBinary = "skewed"
	// skew is how wrong its clock is, more than nodes accept.
	skew = 45 * time.Second
	// skewedFor is how long it is wrong: longer than it takes to be taken for dead.
	skewedFor = 8 * time.Second
)

// runSkew has the clock of one server be wrong for a while.
func runSkew(ctx context.Context, j *job.Job) (job.Figures, error) {
	const wrong = 1
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &j.Servers[1+wrong]
	c.Path = filepath.Join(filepath.Dir(self), skewedBinary)
	c.Args = append(c.Args, "--skew", skew.String())
	return runTrouble(ctx, j, verdict{owed: ownOnly}, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			var failed error
			turn := func() {
				if err := t.stage.nodes[wrong].Signal(syscall.SIGUSR1); err != nil {
					failed = err
				}
			}
			if err := t.during(ctx, skewedFor, turn, turn); err != nil || failed != nil {
				return fmt.Errorf("round %d: %w (%w)", round+1, err, failed)
			}
			t.figures[job.Kills]++
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		return nil
	})
}
