package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

const (
	// shortOutage and longOutage are how long Redis is away: the former at random up to so long.
	shortOutage = 300 * time.Millisecond
	longOutage  = 5 * time.Second
)

// runKillRedis kills the Redis of a cluster again and again. Every server must go on with its own clients.
func runKillRedis(ctx context.Context, j *job.Job) (job.Figures, error) {
	v := verdict{owed: func(e emission, s *span) bool { return e.node == s.node }} // others say whether they could
	return runTrouble(ctx, j, v, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			if err := t.outage(ctx, rand.N(shortOutage)); err != nil {
				return fmt.Errorf("outage %d: %w", round+1, err)
			}
		}
		if err := t.idleOutage(ctx); err != nil {
			return err
		}
		t.figures[job.Kills] = float64(j.Rounds + 1)
		t.figures[job.Gone] = float64(t.witnesses.gone())
		t.slowest()
		return nil
	})
}

// outage kills Redis, starts it again and waits until everyone hears everyone.
func (t *trouble) outage(ctx context.Context, d time.Duration) error {
	t.stage.redis.Kill()
	if err := pause(ctx, d); err != nil {
		return err
	}
	if err := t.stage.startRedis(ctx); err != nil {
		return err
	}
	took, err := t.whole(ctx)
	t.most(job.Resumed, took.Seconds())
	return err
}

// idleOutage measures what the servers do while there is neither a Redis nor anything to do.
func (t *trouble) idleOutage(ctx context.Context) error {
	t.speakers.hush(true)
	t.stage.redis.Kill()
	before, err := t.cpu()
	if err != nil {
		return err
	}
	if err := pause(ctx, longOutage); err != nil {
		return err
	}
	after, err := t.cpu()
	if err != nil {
		return err
	}
	t.figures[job.Spinning] = float64(after-before) / float64(longOutage) * 100
	t.speakers.hush(false)
	if err := t.stage.startRedis(ctx); err != nil {
		return err
	}
	took, err := t.whole(ctx)
	t.most(job.Resumed, took.Seconds())
	return err
}

// cpu returns what all servers have taken until now.
func (t *trouble) cpu() (all time.Duration, err error) {
	for _, node := range t.stage.nodes {
		used, err := proc.CPU(node.Target().PID)
		if err != nil {
			return 0, err
		}
		all += used
	}
	return all, nil
}

// slowest adds how long the slowest answer took, and how many messages weren't accepted.
func (t *trouble) slowest() {
	for _, s := range t.speakers.list {
		s.mu.Lock()
		for _, e := range s.emissions {
			if e.accepted {
				t.most(job.Slowest, millis(e.answered.Sub(e.begun)))
				continue
			}
			t.figures[job.Refused]++
			t.refusal = fmt.Errorf("server %d did not accept a message: %w", s.node+1, e.err)
		}
		s.mu.Unlock()
	}
}
