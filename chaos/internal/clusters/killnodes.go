package clusters

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

const (
	// noticeEvery is every how many kills the run waits until other nodes have noticed, which takes
	// seconds.
	noticeEvery = 20
	// lostWithNode is how long before a node is killed what it accepted may be lost: it may be in
	// the node's queues.
	lostWithNode = time.Second
)

// kills records when nodes were killed, by node.
type kills [][]time.Time

// near reports whether a node was killed while it handled a message, or soon after that.
func (k kills) near(m message) bool {
	return slices.ContainsFunc(k[m.node], func(t time.Time) bool {
		return t.After(m.sent) && t.Before(m.answered.Add(lostWithNode))
	})
}

// KillNodes kills one node after the other.
type KillNodes struct {
	Traffic
	Kills int
}

// NewKillNodes returns the scenario.
func NewKillNodes(quick bool) scenario.Scenario {
	return &KillNodes{traffic(quick), rounds(quick, 200, 6)}
}

// Info implements [scenario.Scenario].
func (s *KillNodes) Info() scenario.Info {
	return scenario.Info{
		Name:  "kill-nodes",
		Title: "Nodes that are killed",
		Description: s.describe() + fmt.Sprintf("%d times one of the nodes in turn is killed (`kill -9`) and started again; its clients reconnect to any of "+
			"the others. Each client must receive each message that was accepted while it was connected, provided it stayed connected for another "+
			"second: what a node accepted right before it was killed may be lost with it.", s.Kills),
		Limits: limits(scenario.Limit{Figure: figureNoticed, Max: 5, What: "seconds until the other nodes had noticed"}),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f kills; clients were connected again within %.2f s", summary(f), f[scenario.Kills], f[figureAway])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *KillNodes) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	k := make(kills, 3)
	v := verdict{grace: lostWithNode, owed: func(m message, _ *connection) bool { return !k.near(m) }}
	return run(ctx, env, options{traffic: s.Traffic, verdict: v}, func(r *chaosRun, ctx context.Context) error {
		for n := range s.Kills {
			if err := r.killAndRestart(ctx, k, n); err != nil {
				return fmt.Errorf("kill %d: %w", n+1, err)
			}
		}
		r.figures[scenario.Kills] = float64(s.Kills)
		return nil
	})
}

func (r *chaosRun) killAndRestart(ctx context.Context, k kills, n int) error {
	node := n % len(r.cluster.Nodes)
	begin := time.Now()
	k[node] = append(k[node], begin)
	r.cluster.killNode(node)
	away, err := r.clients.awaitReconnect(ctx, r.timeout, node)
	if err != nil {
		return err
	}
	r.figures.Raise(figureAway, away.Seconds())
	if n%noticeEvery == 0 {
		if err := r.awaitNoticed(ctx, node, begin); err != nil {
			return err
		}
	}
	if err := r.cluster.startNode(ctx, node); err != nil {
		return err
	}
	// The node is a member as soon as its messages reach all clients. What the dead one left may
	// take longer to clean up.
	return r.awaitReach(ctx, node)
}
