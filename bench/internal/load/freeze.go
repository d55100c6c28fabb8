package load

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// frozenFor is how long a server is stopped: longer than it takes the others to give it up.
const frozenFor = 10 * time.Second

// runFreeze stops a server for a while, as a machine does that swaps or is moved.
func runFreeze(ctx context.Context, j *job.Job) (job.Figures, error) {
	const frozen = 1
	o := &outages{}
	v := verdict{
		owed:    func(e emission, s *span) bool { return e.node == s.node || e.node != frozen && s.node != frozen },
		excused: o.excuse, // to the others it may as well be dead
	}
	return runTrouble(ctx, j, v, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			begin := time.Now()
			if err := t.freeze(ctx, frozen); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
			o.all = append(o.all, outage{node: frozen, from: begin.Add(givenUpAfter), to: time.Now()})
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		return nil
	})
}

func (t *trouble) freeze(ctx context.Context, node int) error {
	if err := t.stage.nodes[node].Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	begin := time.Now()
	if err := t.noticed(ctx, (node+1)%len(t.stage.nodes), len(t.stage.nodes)-1); err != nil {
		return err
	}
	t.most(job.Noticed, time.Since(begin).Seconds())
	if err := pause(ctx, frozenFor-time.Since(begin)); err != nil {
		return err
	}
	if err := t.stage.nodes[node].Signal(syscall.SIGCONT); err != nil {
		return err
	}
	took, err := t.whole(ctx)
	t.most(job.Resumed, took.Seconds())
	return err
}
