package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// session is the time from one connect to the next disconnect.
type session struct {
	// Static.
	bus     *Bus
	client  rueidis.Client
	sharded bool
	fail    context.CancelCauseFunc // ends the session

	// Guarded by mu.
	mu        sync.Mutex
	links     [partitions]linkState
	connected bool
	ended     bool
	repeats   repeats
}

// linkState is the state of a link.
type linkState struct {
	tried bool  // it has been up or has failed
	err   error // why it is down; nil while it is up
}

// connect connects, and serves until no link is up or ctx ends. It returns whether it was connected
// at all, and why it no longer is.
func (b *Bus) connect(ctx context.Context) (connected bool, err error) {
	client, watch, err := b.open(ctx)
	if err != nil {
		return false, advised(err)
	}
	defer client.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(errEnded)
	s := &session{bus: b, client: client, sharded: client.Mode() == rueidis.ClientModeCluster, fail: fail}
	if err := s.probe(ctx); err != nil {
		return false, advised(err)
	}
	var running sync.WaitGroup
	for i := range s.linkCount() {
		running.Go(func() { s.keep(ctx, &link{session: s, partition: i, wanted: s.wanted(i)}) })
	}
	if watch != nil {
		running.Go(func() { watch(ctx, fail) })
	}
	running.Wait()
	s.mu.Lock()
	connected = s.connected
	s.mu.Unlock()
	return connected, advised(context.Cause(ctx))
}

// linkCount returns the number of links: one on one server, where everything is in order, and one
// for each partition on a Redis Cluster, whose servers fail one by one.
func (s *session) linkCount() int {
	if s.sharded {
		return partitions
	}
	return 1
}

// wanted returns the subscriptions of a link.
func (s *session) wanted(link int) []*subscriptions {
	if s.sharded {
		return s.bus.wanted[link : link+1]
	}
	return s.bus.wanted[:]
}

// partitionOf returns the partition of a channel.
func (s *session) partitionOf(channel string) int {
	if s.sharded {
		return partitionOf(channel)
	}
	return 0
}

// probe returns an error if the server accepts connections but no commands, for example while it
// loads its data. On a Redis Cluster, each link finds out on its own.
func (s *session) probe(ctx context.Context) error {
	if s.sharded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.bus.options.Timeout)
	defer cancel()
	return s.client.Do(ctx, s.client.B().Exists().Key(s.bus.echo).Build()).Error()
}

// keep serves a link again and again until ctx ends. On one server, the link's end ends ctx.
func (s *session) keep(ctx context.Context, l *link) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		connected, err := l.serve(ctx)
		if connected {
			attempt = 0
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		s.linkChanged(l.partition, err)
		if ctx.Err() == nil {
			s.bus.pause(ctx, attempt)
		}
	}
}

// linkChanged records that a link is up, or down because of err. The bus is connected once all
// links have been tried and while one of them is up.
func (s *session) linkChanged(partition int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links[partition] = linkState{tried: true, err: err}
	tried, up := 0, 0
	for _, l := range s.links[:s.linkCount()] {
		if l.tried {
			tried++
			if l.err == nil {
				up++
			}
		}
	}
	switch {
	case s.ended:
	case tried == s.linkCount() && up == 0:
		s.ended = true
		if s.connected {
			s.bus.setSession(nil)
		}
		s.fail(err)
	case tried == s.linkCount() && !s.connected:
		s.connected = true
		s.bus.setSession(s)
		s.bus.options.Logger.Info("connected to Redis", "redis_cluster", s.sharded)
	}
	if s.sharded && up > 0 && err != nil && s.repeats.isNew(err, time.Now()) {
		s.bus.options.Logger.Warn("a part of the Redis Cluster can't be reached; messages over it don't reach other nodes", "error", err)
	}
}

// down returns why a partition can't be reached, or nil if it can or hasn't been tried.
func (s *session) down(partition int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[partition].err
}

// health returns why some of the partitions can't be reached, or nil if all can.
func (s *session) health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	down, err := 0, error(nil)
	for _, l := range s.links[:s.linkCount()] {
		if l.err != nil {
			down, err = down+1, l.err
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%d of %d parts of the Redis Cluster can't be reached: %w", down, partitions, err)
}

// channel returns the channel for its name on the server.
func (s *session) channel(name string) string {
	if s.sharded {
		return untagged(name)
	}
	return name
}

var (
	errEnded  = errors.New("redis: a connection has ended")
	errMoved  = errors.New("redis: a channel has moved to another server")
	errNoEcho = errors.New("redis: this node is subscribed, but its own messages don't come back")
)

var _ cluster.Bus = (*Bus)(nil)
