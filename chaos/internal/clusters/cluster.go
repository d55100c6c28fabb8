// Package clusters holds the scenarios in which nodes of a cluster, its Redis, or the network
// between them fail.
//
//	cluster.go     a cluster of processes
//	client.go      clients that reconnect to any node
//	publisher.go   a publisher for each node
//	verdict.go     compares what nodes accepted with what clients received
//	run.go         a run with all of these, and what most scenarios share
//	killnodes.go   nodes are killed
//	killpairs.go   all nodes but one are killed
//	frozen.go      a node freezes
//	skew.go        a node's clock is wrong
//	rolling.go     all nodes are restarted
//	killredis.go   Redis is killed
//	retries.go     nodes and Redis are killed while publishers retry with keys
//	refusals.go    Redis refuses commands
//	network.go     the network to Redis fails
//	proxy.go       the network to Redis
//	failover.go    Redis fails over
//	redis.go       further servers of Redis
//	membership.go  joins and leaves, compared with a model
//	presence.go    who is where, compared with a model: presencemodel.go, tab.go
package clusters

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

// testCluster is a cluster whose nodes are started and ended during a run.
type testCluster struct {
	*process.RunningCluster
	// open says for each node whether a load balancer would send it clients, and ready whether it can
	// be called.
	open, ready []atomic.Bool
}

// startCluster starts a cluster and waits until each node knows all others.
func startCluster(ctx context.Context, commands process.Cluster) (*testCluster, error) {
	running, err := process.StartCluster(ctx, commands)
	if err != nil {
		return nil, err
	}
	n := len(running.Nodes)
	c := &testCluster{RunningCluster: running, open: make([]atomic.Bool, n), ready: make([]atomic.Bool, n)}
	for i := range n {
		c.open[i].Store(true)
		c.ready[i].Store(true)
		if err := load.AwaitNodes(ctx, c.target(i), n); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// startNode starts a node that does not run.
func (c *testCluster) startNode(ctx context.Context, i int) error {
	err := c.StartNode(ctx, i)
	c.open[i].Store(err == nil)
	c.ready[i].Store(err == nil)
	return err
}

// killNode kills a node.
func (c *testCluster) killNode(i int) {
	c.open[i].Store(false)
	c.ready[i].Store(false)
	c.Nodes[i].Kill()
}

// stopNode stops a node gracefully.
func (c *testCluster) stopNode(i int) {
	c.open[i].Store(false)
	c.Nodes[i].Stop()
	c.ready[i].Store(false)
}

// target returns where a node is reached, whether it runs or not.
func (c *testCluster) target(i int) *process.Target { return &c.Commands.Nodes[i].Target }

// dialControl opens a connection to a node's control API that reconnects soon after the node has
// restarted.
func (c *testCluster) dialControl(i int) (*grpc.ClientConn, error) {
	return c.target(i).DialControl(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
		MinConnectTimeout: time.Second, // without it, an attempt ends with its pause
	}))
}
