package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Cluster is how a Redis and the nodes that share it are started.
type Cluster struct {
	Redis Command
	Nodes []Command
}

// ClusterNodes is how many nodes a cluster has.
const ClusterNodes = 3

// Cluster returns how a cluster of Sala is started.
func (s *Sala) Cluster(name string, args ...string) (Cluster, error) {
	return NewCluster(name, s.logs, func(at Addresses) Command { return s.Command(at, args...) })
}

// NewCluster returns how a cluster of servers is started, each of which command returns for its
// addresses.
func NewCluster(name, logs string, command func(Addresses) Command) (Cluster, error) {
	free, err := FreeAddresses(1 + 3*ClusterNodes)
	if err != nil {
		return Cluster{}, err
	}
	c := Cluster{Redis: RedisCommand(free[0])}
	if err := c.Redis.NameAndLog(logs, name+"-redis"); err != nil {
		return c, err
	}
	for i := range ClusterNodes {
		node := command(Addresses{Listen: free[1+3*i], Control: free[2+3*i], HTTP: free[3+3*i], Redis: free[0]})
		if err := node.NameAndLog(logs, fmt.Sprintf("%s-%d", name, i+1)); err != nil {
			return c, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c, nil
}

// RunningCluster is a cluster that has been started. Its methods may not be called concurrently for
// the same server.
type RunningCluster struct {
	// Commands is how the servers are started.
	Commands Cluster
	Redis    *Server
	Nodes    []*Server
}

// StartCluster starts Redis and then the nodes.
func StartCluster(ctx context.Context, commands Cluster) (*RunningCluster, error) {
	c := &RunningCluster{Commands: commands, Nodes: make([]*Server, len(commands.Nodes))}
	if err := c.StartRedis(ctx); err != nil {
		return nil, err
	}
	for i := range c.Nodes {
		if err := c.StartNode(ctx, i); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// StartRedis starts a Redis that does not run.
func (c *RunningCluster) StartRedis(ctx context.Context) (err error) {
	c.Redis, err = Start(ctx, &c.Commands.Redis)
	return err
}

// StartNode starts a node that does not run.
func (c *RunningCluster) StartNode(ctx context.Context, i int) error {
	node, err := Start(ctx, &c.Commands.Nodes[i])
	if err == nil {
		c.Nodes[i] = node
	}
	return err
}

// Err returns an error if a node has ended.
func (c *RunningCluster) Err() (err error) {
	for _, node := range c.Nodes {
		err = errors.Join(err, node.Err())
	}
	return err
}

// Stop stops all nodes and then Redis.
func (c *RunningCluster) Stop() {
	var stopping sync.WaitGroup
	for _, node := range c.Nodes {
		if node != nil {
			stopping.Go(node.Stop)
		}
	}
	stopping.Wait()
	c.Redis.Stop()
}
