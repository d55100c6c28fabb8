package clusters

import (
	"context"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Rolling restarts all nodes gracefully, one after the other.
type Rolling struct {
	Traffic
	// Args are the nodes' further arguments.
	Args []string
}

// NewRolling returns the scenario.
func NewRolling(quick bool) scenario.Scenario {
	return &Rolling{Traffic{rounds(quick, 60, 10), 10 * time.Millisecond}, scenario.DrainArgs()}
}

// Info implements [scenario.Scenario].
func (s *Rolling) Info() scenario.Info {
	return scenario.Info{
		Name:  "rolling",
		Title: "A rolling restart",
		Description: s.describe() + fmt.Sprintf("One node after the other gets `SIGTERM`, disconnects its clients over up to %v, and is started "+
			"again. Each client must receive each message that was accepted before its node, or the node that accepted the message, got "+
			"`SIGTERM`, and everything that other nodes accept meanwhile.", scenario.DrainSpread),
		Limits: limits(
			scenario.Limit{Figure: scenario.Back, Max: scenario.DrainSpread.Seconds(), What: "seconds until all clients of a node were connected to others"},
			scenario.Zero(scenario.WithoutGoodbye, "connections that ended without a reason"),
		),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%s; %.0f clients were disconnected, each was connected again within %.2f s; each node ended within %.1f s",
				summary(f), f[scenario.Gone], f[figureAway], f[scenario.Ended])
		},
	}
}

// drains records when nodes got SIGTERM, and when they had ended.
type drains struct{ begun, ended []time.Time }

// during reports whether a node was ending when a message was sent, or before it was answered.
func (d *drains) during(node int, m message) bool {
	return m.answered.After(d.begun[node]) && m.sent.Before(d.ended[node])
}

// Run implements [scenario.Scenario].
func (s *Rolling) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	d := &drains{begun: make([]time.Time, 3), ended: make([]time.Time, 3)}
	v := verdict{owed: func(m message, c *connection) bool { return !d.during(m.node, m) && !d.during(c.node, m) }}
	o := options{traffic: s.Traffic, args: s.Args, verdict: v}
	return run(ctx, env, o, func(r *chaosRun, ctx context.Context) error {
		for node := range r.cluster.Nodes {
			if err := r.drainAndRestart(ctx, d, node); err != nil {
				return fmt.Errorf("node %d: %w", node+1, err)
			}
		}
		r.figures[scenario.WithoutGoodbye] = float64(r.clients.withoutGoodbye())
		return nil
	})
}

func (r *chaosRun) drainAndRestart(ctx context.Context, d *drains, node int) error {
	var leaving []*clusterClient
	for _, client := range r.clients.list {
		if c := client.connected(); c != nil && c.node == node {
			leaving = append(leaving, client)
		}
	}
	d.begun[node], d.ended[node] = time.Now(), time.Now().Add(time.Hour)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.cluster.stopNode(node)
	}()
	took, err := r.clients.awaitReconnect(ctx, r.timeout, node)
	if err != nil {
		return err
	}
	r.figures.Raise(scenario.Back, took.Seconds())
	<-stopped // it is killed if it takes too long
	d.ended[node] = time.Now()
	r.figures.Raise(scenario.Ended, d.ended[node].Sub(d.begun[node]).Seconds())
	if err := r.cluster.startNode(ctx, node); err != nil {
		return err
	}
	for _, client := range leaving {
		r.figures.Raise(figureAway, client.timeAway().Seconds())
	}
	_, err = r.awaitComplete(ctx)
	return err
}
