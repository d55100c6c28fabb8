package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// noticedEvery is how often the others are watched until they have noticed that a server is dead, which takes seconds.
	noticedEvery = 20
	// lostWithNode is how long before a server is killed what it has accepted may be lost: it may be in its queues.
	lostWithNode = time.Second
)

// kills are when servers were killed.
type kills struct{ at [][]time.Time }

// near reports whether a server was killed while it took a message, or soon after that.
func (k *kills) near(e emission) bool {
	return slices.ContainsFunc(k.at[e.node], func(t time.Time) bool {
		return t.After(e.begun) && t.Before(e.answered.Add(lostWithNode))
	})
}

// runKillNodes kills one server after the other as kill -9 does, and starts it again.
func runKillNodes(ctx context.Context, j *job.Job) (job.Figures, error) {
	k := &kills{at: make([][]time.Time, len(j.Servers)-1)}
	v := verdict{grace: lostWithNode, owed: func(e emission, _ *span) bool { return !k.near(e) }}
	return runTrouble(ctx, j, v, func(t *trouble, ctx context.Context) error {
		for round := range j.Rounds {
			if err := t.kill(ctx, k, round); err != nil {
				return fmt.Errorf("kill %d: %w", round+1, err)
			}
		}
		t.figures[job.Kills] = float64(j.Rounds)
		return nil
	})
}

func (t *trouble) kill(ctx context.Context, k *kills, round int) error {
	victim := round % len(t.stage.nodes)
	k.at[victim] = append(k.at[victim], time.Now())
	t.stage.killNode(victim)
	begin := time.Now()
	away, err := t.witnesses.back(ctx, t.job.Patience, victim)
	if err != nil {
		return err
	}
	t.most(job.Away, away.Seconds())
	if round%noticedEvery == 0 {
		if err := t.noticed(ctx, (victim+1)%len(t.stage.nodes), len(t.stage.nodes)-1); err != nil {
			return err
		}
		t.most(job.Noticed, time.Since(begin).Seconds())
	}
	if err := t.stage.startNode(ctx, victim); err != nil {
		return err
	}
	// It is one of them as soon as what it sends reaches everyone. What the dead one leaves behind may take longer.
	return t.reaches(ctx, victim)
}

// listed returns the nodes that a server knows.
func (t *trouble) listed(ctx context.Context, node int) ([]*salav1.Node, error) {
	answer, err := salav1.NewClusterServiceClient(t.speakers.list[node].conn).
		ListNodes(authorized(ctx, t.stage.jobOf(node)), &salav1.ListNodesRequest{})
	return answer.GetNodes(), err
}

// noticed waits until a server lists no more nodes than there are.
func (t *trouble) noticed(ctx context.Context, by, there int) error {
	for begin := time.Now(); ; {
		nodes, err := t.listed(ctx, by)
		if err != nil || len(nodes) == there {
			return err
		}
		if time.Since(begin) > t.job.Patience {
			return fmt.Errorf("server %d lists %d nodes where %d are", by+1, len(nodes), there)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// reaches waits until a message that a server takes from now on is for everyone.
func (t *trouble) reaches(ctx context.Context, node int) error {
	begin := time.Now()
	for s := t.speakers.list[node]; !s.wholeSince(begin, len(t.witnesses.list), false); {
		if time.Since(begin) > t.job.Patience {
			return fmt.Errorf("server %d does not reach all %d clients", node+1, len(t.witnesses.list))
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
