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
//	refusals.go    Redis refuses commands
//	network.go     the network to Redis fails
//	proxy.go       the network to Redis
//	failover.go    Redis fails over
//	redis.go       further servers of Redis
//	membership.go  joins and leaves, compared with a model
package clusters

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
)

// testCluster is a Redis and nodes that share it, all children of this process.
type testCluster struct {
	commands process.Cluster
	redis    *process.Server
	nodes    []*process.Server
	// open says for each node whether a load balancer would send it clients, and ready whether it
	// can be called.
	open, ready []atomic.Bool
}

// startCluster starts a cluster and waits until each node knows all others.
func startCluster(ctx context.Context, commands process.Cluster) (*testCluster, error) {
	n := len(commands.Nodes)
	c := &testCluster{commands: commands, nodes: make([]*process.Server, n), open: make([]atomic.Bool, n), ready: make([]atomic.Bool, n)}
	if err := c.startRedis(ctx); err != nil {
		return nil, err
	}
	for i := range c.nodes {
		if err := c.startNode(ctx, i); err != nil {
			c.close()
			return nil, err
		}
	}
	for i := range c.nodes {
		if err := load.AwaitNodes(ctx, c.target(i), n); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *testCluster) startRedis(ctx context.Context) (err error) {
	c.redis, err = process.Start(ctx, &c.commands.Redis)
	return err
}

// startNode starts a node that does not run.
func (c *testCluster) startNode(ctx context.Context, i int) error {
	node, err := process.Start(ctx, &c.commands.Nodes[i])
	if err == nil {
		c.nodes[i] = node
		c.open[i].Store(true)
		c.ready[i].Store(true)
	}
	return err
}

// killNode kills a node.
func (c *testCluster) killNode(i int) {
	c.open[i].Store(false)
	c.ready[i].Store(false)
	c.nodes[i].Kill()
}

// stopNode stops a node gracefully.
func (c *testCluster) stopNode(i int) {
	c.open[i].Store(false)
	c.nodes[i].Stop()
	c.ready[i].Store(false)
}

// close stops all processes.
func (c *testCluster) close() {
	var stopping sync.WaitGroup
	for _, node := range c.nodes {
		if node != nil {
			stopping.Go(node.Stop)
		}
	}
	stopping.Wait()
	c.redis.Stop()
}

// err returns an error if a node has ended by itself.
func (c *testCluster) err() error {
	for i, node := range c.nodes {
		select {
		case <-node.Ended():
			return fmt.Errorf("node %d ended by itself: %s", i+1, node.Tail())
		default:
		}
	}
	return nil
}

// target returns where a node is reached, whether it runs or not.
func (c *testCluster) target(i int) *process.Target { return &c.commands.Nodes[i].Target }

// dialControl opens a connection to a node's control API that reconnects soon after the node has
// restarted.
func (c *testCluster) dialControl(i int) (*grpc.ClientConn, error) {
	return c.target(i).DialControl(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
	}))
}
