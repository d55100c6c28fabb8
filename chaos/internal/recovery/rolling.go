package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Rolling restarts all nodes of a cluster, one after the other, while stock clients with sessions
// are connected.
type Rolling struct {
	Crowd
	// Rounds is how many times all nodes are restarted.
	Rounds int
	// Between is the time from one restart to the next.
	Between time.Duration
	// Args are the nodes' further arguments.
	Args []string
}

// NewRolling returns the scenario.
func NewRolling(quick bool) scenario.Scenario {
	args := append(scenario.DrainArgs(), "--ping-interval", "2s", "--ping-timeout", "2s")
	s := &Rolling{
		Crowd: Crowd{
			Clients: 200, Others: 0, PerProcess: 50, Publishers: 6, Every: 100 * time.Millisecond, Relay: 20 * time.Millisecond,
		},
		Rounds: 5, Between: 2 * time.Second, Args: args,
	}
	if quick {
		s.Clients, s.PerProcess, s.Rounds, s.Between = 30, 15, 1, time.Second
	}
	return s
}

// Info implements [scenario.Scenario].
func (s *Rolling) Info() scenario.Info {
	return scenario.Info{
		Name:  "rolling-recovery",
		Title: "A rolling restart, with recovery",
		Description: fmt.Sprintf("%d stock clients (socket.io-client in Node) with `recover: true` are connected to three nodes through a proxy that "+
			"gives each TCP connection to the next node in turn, without stickiness: a third each over WebSocket, over long-polling, and over "+
			"long-polling that is upgraded; half of them in two namespaces. %d publishers each emit %.0f messages a second through the three "+
			"nodes, and clients relay events to each other. %d times one node after the other gets `SIGTERM` and is started again. The nodes run "+
			"with `%s`. Each client must receive what was accepted for it, once and in order, and `socket.recovered` must be true at each return.",
			s.Clients, s.Publishers, 1/s.Every.Seconds(), s.Rounds, strings.Join(s.Args, " ")),
		Limits: append(limits(), scenario.Limit{
			Figure: scenario.Ended, Max: scenario.DrainTimeout.Seconds() + 2, What: "seconds until a node had ended",
		}),
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f sockets of %.0f clients; %.0f restarts, %.0f returns, %.0f messages received, %.0f of the clients' own relayed; %.0f of %.0f "+
				"messages were reported to match up to %.0f sockets more or fewer than there are, since some moved", f[figureSockets], f[scenario.Clients],
				f[scenario.Kills], f[figureReturns], f[scenario.Received], f[figureRelays], f[figureMiscounted], f[figurePublished], f[figureMiscountedBy])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Rolling) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	t := &trial{crowd: s.Crowd, timeout: env.Timeout}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.serve(ctx, env, true, time.Second, s.Args); err != nil {
		return nil, err
	}
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	t.ledger.expectGoodbyes()
	f = results.Figures{}
	err = s.restartAll(ctx, t.cluster, f)
	return f, errors.Join(err, t.finish(ctx, f), t.cluster.Err())
}

func (s *Rolling) restartAll(ctx context.Context, c *cluster, f results.Figures) error {
	for round := range s.Rounds {
		for i := range c.Nodes {
			if err := c.restart(ctx, i, f); err != nil {
				return fmt.Errorf("round %d, node %d: %w", round+1, i+1, err)
			}
			if err := load.Sleep(ctx, s.Between); err != nil {
				return err
			}
		}
	}
	return nil
}
