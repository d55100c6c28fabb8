package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// clusterOptions returns nil for a node alone.
func (s *Server) clusterOptions() (*broker.ClusterOptions, error) {
	c := s.cfg.Cluster
	if c == nil {
		return nil, nil
	}
	bus, err := redis.New(redis.Options{URL: c.RedisURL, Logger: s.log})
	if err != nil {
		return nil, err
	}
	options := &broker.ClusterOptions{Bus: bus, Name: c.Name, Keys: c.Keys, Address: s.address()}
	if c.Emitter {
		options.Emitters = bus
	}
	return options, nil
}

// address is where the node is to be found, for people who read logs.
func (s *Server) address() string {
	if s.public == nil {
		return ""
	}
	host, _, _ := net.SplitHostPort(s.public.Bound()) // a bound address has both
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(s.public.Port()))
}

// joinCluster has the broker take part in its cluster, of one node or several,
// until the control API has stopped: up to then it answers the other nodes.
func (s *Server) joinCluster(ctx context.Context) {
	running, leave := context.WithCancel(context.WithoutCancel(ctx))
	left := make(chan error, 1)
	go func() { left <- s.broker.Run(running) }()
	s.onStop("cluster", stopGrace, func(ctx context.Context) error {
		leave()
		select {
		case err := <-left:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// reachesCluster returns why the node doesn't reach the others, or not all of them,
// or can't share with them what is to be shared.
func (s *Server) reachesCluster() error {
	trouble := s.broker.ClusterTrouble()
	switch {
	case s.broker.Isolated() && trouble != nil:
		return fmt.Errorf("isolated: this node can't reach the others through the Redis of its cluster (--redis-url); its own clients go on: %w", trouble)
	case s.broker.Isolated():
		return errors.New("isolated: this node can't reach the Redis of its cluster (--redis-url); its own clients go on")
	case trouble != nil:
		return fmt.Errorf("the cluster doesn't work as it should: %w", trouble)
	}
	return nil
}
