package recovery

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// cluster is a cluster behind a load balancer that gives each connection to the next node.
type cluster struct {
	*process.RunningCluster
	next  atomic.Uint64   // the node that gets the next connection
	lives []atomic.Uint64 // by node; 0 while it ends or starts, and gets neither connections nor calls
}

// startCluster starts a cluster and waits until each node knows all others.
func startCluster(ctx context.Context, env *scenario.Env, args ...string) (*cluster, error) {
	commands, err := env.Cluster(args...)
	if err != nil {
		return nil, err
	}
	running, err := process.StartCluster(ctx, commands)
	if err != nil {
		return nil, err
	}
	c := &cluster{RunningCluster: running, lives: make([]atomic.Uint64, len(running.Nodes))}
	for i := range c.Nodes {
		c.lives[i].Store(1)
		if err := load.AwaitNodes(ctx, c.target(i), len(c.Nodes)); err != nil {
			running.Stop()
			return nil, err
		}
	}
	return c, nil
}

// target returns where a node is reached, whether it runs or not.
func (c *cluster) target(i int) *process.Target { return &c.Commands.Nodes[i].Target }

// dial connects to the control API of each node.
func (c *cluster) dial() ([]node, error) {
	var nodes []node
	for i := range c.Nodes {
		n, err := dial(c.target(i), c.lives[i].Load, reconnectSoon())
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// choose returns the address of the next node that gets connections.
func (c *cluster) choose() string {
	for range c.Nodes {
		i := int(c.next.Add(1)) % len(c.Nodes)
		if c.lives[i].Load() > 0 {
			return c.target(i).Listen
		}
	}
	return ""
}

// restart ends a node gracefully and starts it again.
func (c *cluster) restart(ctx context.Context, i int, f results.Figures) error {
	begin := time.Now()
	life := c.lives[i].Swap(0)
	c.Nodes[i].Stop()
	f.Raise(scenario.Ended, time.Since(begin).Seconds())
	f[scenario.Kills]++
	if err := c.StartNode(ctx, i); err != nil {
		return err
	}
	if err := load.AwaitNodes(ctx, c.target(i), len(c.Nodes)); err != nil {
		return err
	}
	c.lives[i].Store(life + 1)
	return nil
}

// reconnectSoon makes a connection to a node's control API reconnect soon after the node has
// restarted.
func reconnectSoon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
	})
}
