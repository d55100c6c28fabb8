package redis

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

const (
	// subscribeBatch is how many channels one command names.
	subscribeBatch = 256
	// subscribePipeline is how many commands are sent before the first answer.
	subscribePipeline = 16
)

var (
	errEnded = errors.New("redis: a connection has ended")
	errMoved = errors.New("redis: a channel has moved to another server")
)

// session is the time from one connect to the next disconnect. It is used by
// one goroutine.
type session struct {
	bus     *Bus
	client  rueidis.Client
	sharded bool
	fail    context.CancelCauseFunc // ends the session

	ears    [partitions]rueidis.DedicatedClient // to hear on; nil until needed, on one server only the first
	waiting sync.WaitGroup
}

// session connects and serves until a connection ends or ctx does. It returns
// whether it was connected at all, and why it no longer is.
func (b *Bus) session(ctx context.Context) (connected bool, err error) {
	client, err := rueidis.NewClient(b.client)
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, fail := context.WithCancelCause(ctx)
	s := &session{bus: b, client: client, sharded: client.Mode() == rueidis.ClientModeCluster, fail: fail}
	defer s.close()

	// This server knows of nothing yet. The bus counts as connected once it does.
	b.wanted.forget()
	if err := s.probe(ctx); err != nil {
		return false, err
	}
	if err := s.update(ctx); err != nil {
		return false, err
	}
	b.setConnected(client, s.sharded)
	b.options.Logger.Info("connected to Redis", "redis_cluster", s.sharded)
	defer func() {
		b.setConnected(nil, false)
		b.wanted.forget()
	}()
	for {
		select {
		case <-ctx.Done():
			return true, context.Cause(ctx)
		case <-b.wanted.wake:
			if err := s.update(ctx); err != nil {
				return true, err
			}
		}
	}
}

// probe returns an error if the server takes connections and nothing else, as
// one does that is loading its data, or a Redis Cluster that isn't whole.
func (s *session) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.bus.options.Timeout)
	defer cancel()
	return s.client.Do(ctx, s.client.B().Exists().Key(aliveChannel).Build()).Error()
}

// close ends the session's connections.
func (s *session) close() {
	s.fail(errEnded)
	for _, ear := range s.ears {
		if ear != nil {
			ear.Close()
		}
	}
	s.waiting.Wait()
}

// update brings the server to what is wanted.
func (s *session) update(ctx context.Context) error {
	subscribe, unsubscribe := s.bus.wanted.changes()
	for partition, channels := range s.split(unsubscribe) {
		if err := s.tell(ctx, partition, channels, s.unsubscribe); err != nil {
			return err
		}
	}
	for partition, channels := range s.split(subscribe) {
		if err := s.tell(ctx, partition, channels, s.subscribe); err != nil {
			return err
		}
	}
	s.bus.wanted.confirm(subscribe)
	return nil
}

// split returns the names of channels on the server, by partition.
func (s *session) split(channels []string) map[int][]string {
	split := make(map[int][]string)
	for _, channel := range channels {
		if s.sharded {
			p := partitionOf(channel)
			split[p] = append(split[p], tagged(channel))
		} else {
			split[0] = append(split[0], channel)
		}
	}
	return split
}

// tell has the server carry out a command on channels of one partition, and
// waits until it has.
func (s *session) tell(
	ctx context.Context, partition int, names []string, command func(rueidis.Builder, []string) rueidis.Completed,
) error {
	ear := s.ear(partition)
	for len(names) > 0 {
		var commands []rueidis.Completed
		for len(names) > 0 && len(commands) < subscribePipeline {
			n := min(len(names), subscribeBatch)
			commands = append(commands, command(ear.B(), names[:n]))
			names = names[n:]
		}
		limited, cancel := context.WithTimeout(ctx, 2*s.bus.options.Timeout)
		results := ear.DoMulti(limited, commands...)
		cancel()
		for _, result := range results {
			if err := result.Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) subscribe(b rueidis.Builder, names []string) rueidis.Completed {
	if s.sharded {
		return b.Ssubscribe().Channel(names...).Build()
	}
	return b.Subscribe().Channel(names...).Build()
}

func (s *session) unsubscribe(b rueidis.Builder, names []string) rueidis.Completed {
	if s.sharded {
		return b.Sunsubscribe().Channel(names...).Build()
	}
	return b.Unsubscribe().Channel(names...).Build()
}

// ear returns the connection to hear a partition on.
func (s *session) ear(partition int) rueidis.DedicatedClient {
	if ear := s.ears[partition]; ear != nil {
		return ear
	}
	ear, _ := s.client.Dedicate()
	s.ears[partition] = ear
	ended := ear.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: s.heard, OnSubscription: s.changed})
	s.waiting.Go(func() {
		err := errEnded
		for cause := range ended { // one at the most, then it is closed
			err = cause
		}
		s.fail(err)
	})
	return ear
}

// heard takes a message in.
func (s *session) heard(m rueidis.PubSubMessage) {
	s.bus.inbox.Add(cluster.Message{Channel: s.channel(m.Channel), Payload: []byte(m.Message)})
}

// changed looks out for the server ending a subscription by itself, which a
// Redis Cluster does when the channel moves to another server.
func (s *session) changed(change rueidis.PubSubSubscription) {
	if change.Kind == "sunsubscribe" && s.bus.wanted.has(s.channel(change.Channel)) {
		s.fail(errMoved)
	}
}

// channel returns the channel that has a name on the server.
func (s *session) channel(name string) string {
	if s.sharded {
		return untagged(name)
	}
	return name
}
