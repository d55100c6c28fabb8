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

// clusterOptions returns nil for a single node.
func (s *Server) clusterOptions(ctx context.Context) (*broker.ClusterOptions, error) {
	c := s.cfg.Cluster
	if c == nil {
		return nil, nil
	}
	bus, err := redis.New(redis.Options{URL: c.RedisURL, Logger: s.log})
	if err != nil {
		return nil, err
	}
	options := &broker.ClusterOptions{Bus: bus, Name: c.Name, Keys: c.Keys, Address: s.address(), URL: s.advertise(ctx, c)}
	if s.cfg.Public.TLS != nil {
		options.Certificate = s.cfg.Public.TLS.Sum
	}
	if c.Emitter {
		options.Emitters = bus
	}
	return options, nil
}

// address is the node's address for people who read logs.
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

// joinCluster makes the broker take part in its cluster, of one node or several. It leaves after the
// control API has stopped, and answers other nodes until then.
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

// reachesCluster returns an error if the node doesn't reach all other nodes, or can't share its
// state with them.
func (s *Server) reachesCluster() error {
	trouble := s.broker.ClusterTrouble()
	switch {
	case s.broker.Isolated() && trouble != nil:
		return fmt.Errorf("isolated: this node can't reach the others through the Redis of its cluster (--redis-url); it still serves its own clients: %w", trouble)
	case s.broker.Isolated():
		return errors.New("isolated: this node can't reach the Redis of its cluster (--redis-url); it still serves its own clients")
	case trouble != nil:
		return fmt.Errorf("the cluster doesn't work properly: %w", trouble)
	}
	return nil
}
