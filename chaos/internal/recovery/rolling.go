package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
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
	// Life is how long a connection lives on average if connections are cut, too; 0 if they aren't.
	Life time.Duration
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

// rollingRun is a run of [Rolling].
type rollingRun struct {
	*process.RunningCluster
	next  atomic.Uint64   // the node that gets the next connection
	lives []atomic.Uint64 // by node; 0 while it ends or starts, and gets neither connections nor calls
}

// choose returns the address of the next node that gets connections.
func (r *rollingRun) choose() string {
	for range r.Nodes {
		i := int(r.next.Add(1)) % len(r.Nodes)
		if r.lives[i].Load() > 0 {
			return r.Commands.Nodes[i].Target.Listen
		}
	}
	return ""
}

// restart ends a node gracefully and starts it again.
func (r *rollingRun) restart(ctx context.Context, i int, f results.Figures) error {
	begin := time.Now()
	life := r.lives[i].Swap(0)
	r.Nodes[i].Stop()
	f.Raise(scenario.Ended, time.Since(begin).Seconds())
	f[scenario.Kills]++
	if err := r.StartNode(ctx, i); err != nil {
		return err
	}
	if err := load.AwaitNodes(ctx, &r.Commands.Nodes[i].Target, len(r.Nodes)); err != nil {
		return err
	}
	r.lives[i].Store(life + 1)
	return nil
}

// Run implements [scenario.Scenario].
func (s *Rolling) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	folder, file, err := writeConfig()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	commands, err := env.Cluster(append([]string{"--config", file}, s.Args...)...)
	if err != nil {
		return nil, err
	}
	running, err := process.StartCluster(ctx, commands)
	if err != nil {
		return nil, err
	}
	defer running.Stop()
	r := &rollingRun{RunningCluster: running, lives: make([]atomic.Uint64, len(running.Nodes))}
	t := &trial{crowd: s.Crowd, timeout: env.Timeout}
	if t.cutter, err = NewCutter(r.choose, max(s.Life, time.Second)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	for i := range running.Nodes {
		r.lives[i].Store(1)
		if err := load.AwaitNodes(ctx, &running.Commands.Nodes[i].Target, len(running.Nodes)); err != nil {
			return nil, err
		}
		n, err := dial(&running.Commands.Nodes[i].Target, r.lives[i].Load, reconnectSoon())
		if err != nil {
			return nil, err
		}
		t.nodes = append(t.nodes, n)
	}
	if err := t.start(ctx, ""); err != nil {
		return nil, err
	}
	t.ledger.expectGoodbyes()
	t.cutter.Cut(s.Life > 0)
	f = results.Figures{}
	err = s.restartAll(ctx, r, f)
	t.cutter.Cut(false)
	return f, errors.Join(err, t.finish(ctx, f), running.Err())
}

func (s *Rolling) restartAll(ctx context.Context, r *rollingRun, f results.Figures) error {
	for round := range s.Rounds {
		for i := range r.Nodes {
			if err := r.restart(ctx, i, f); err != nil {
				return fmt.Errorf("round %d, node %d: %w", round+1, i+1, err)
			}
			if err := load.Sleep(ctx, s.Between); err != nil {
				return err
			}
		}
	}
	return nil
}

// reconnectSoon makes a connection to a node's control API reconnect soon after the node has
// restarted.
func reconnectSoon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
	})
}
