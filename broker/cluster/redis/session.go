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
	lines     [partitions]lineState
	connected bool
	ended     bool
	complaint complaint
}

// lineState is what becomes of one line.
type lineState struct {
	tried bool  // it has been up, or has failed
	err   error // why it is down; nil while it is up
}

// connect connects and serves until nothing is left to serve with or ctx ends. It
// returns whether it was connected at all, and why it no longer is.
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
	for i := range s.lineCount() {
		running.Go(func() { s.keep(ctx, &line{session: s, partition: i, parts: s.parts(i)}) })
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

// lineCount returns how many lines there are: one on one server, where all is in
// order, and one for each partition on a Redis Cluster, whose parts fail one by one.
func (s *session) lineCount() int {
	if s.sharded {
		return partitions
	}
	return 1
}

// parts returns the subscriptions that a line is for.
func (s *session) parts(line int) []*subscriptions {
	if s.sharded {
		return s.bus.wanted[line : line+1]
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

// probe returns an error if the server takes connections and nothing else, as
// one does that is loading its data. The servers of a Redis Cluster differ.
func (s *session) probe(ctx context.Context) error {
	if s.sharded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.bus.options.Timeout)
	defer cancel()
	return s.client.Do(ctx, s.client.B().Exists().Key(s.bus.echo).Build()).Error()
}

// keep serves a line again and again until ctx ends. On one server once: what
// follows is another session.
func (s *session) keep(ctx context.Context, l *line) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		connected, err := l.serve(ctx)
		if connected {
			attempt = 0
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		s.lineChanged(l.partition, err)
		if ctx.Err() == nil {
			s.bus.pause(ctx, attempt)
		}
	}
}

// lineChanged takes in that a line is up, or down because of an error. The bus is
// connected once all lines have been tried and while one of them is up.
func (s *session) lineChanged(partition int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[partition] = lineState{tried: true, err: err}
	tried, up := 0, 0
	for _, l := range s.lines[:s.lineCount()] {
		if l.tried {
			tried++
			if l.err == nil {
				up++
			}
		}
	}
	switch {
	case s.ended:
	case tried == s.lineCount() && up == 0:
		s.ended = true
		if s.connected {
			s.bus.setSession(nil)
		}
		s.fail(err)
	case tried == s.lineCount() && !s.connected:
		s.connected = true
		s.bus.setSession(s)
		s.bus.options.Logger.Info("connected to Redis", "redis_cluster", s.sharded)
	}
	if s.sharded && up > 0 && err != nil && s.complaint.due(err, time.Now()) {
		s.bus.options.Logger.Warn("a part of the Redis Cluster can't be reached; what lives there doesn't reach other nodes", "error", err)
	}
}

// down returns why a partition can't be reached; nil if it can, or hasn't been tried.
func (s *session) down(partition int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines[partition].err
}

// trouble returns why some of the partitions can't be reached; nil if all can.
func (s *session) trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	down, err := 0, error(nil)
	for _, l := range s.lines[:s.lineCount()] {
		if l.err != nil {
			down, err = down+1, l.err
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%d of %d parts of the Redis Cluster can't be reached: %w", down, partitions, err)
}

// channel returns the channel that has a name on the server.
func (s *session) channel(name string) string {
	if s.sharded {
		return untagged(name)
	}
	return name
}

var (
	errEnded   = errors.New("redis: a connection has ended")
	errMoved   = errors.New("redis: a channel has moved to another server")
	errUnheard = errors.New("redis: what this node publishes doesn't come back to it, though it has subscribed to it")
)

var _ cluster.Bus = (*Bus)(nil)
