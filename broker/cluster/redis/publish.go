package redis

import (
	"context"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// Publish implements [cluster.Bus]. If a part of a Redis Cluster can't be reached, messages to it
// fail and others are sent.
//
// PUBLISH returns how many subscribers got a message, including those by pattern, which no bus is.
// PUBSUB NUMSUB excludes them, and counts the subscribers of the peers' channels, too. It follows
// the messages in the same pipeline, which Redis executes without commands of others in between.
func (b *Bus) Publish(ctx context.Context, batch []cluster.Message, peers []string) ([]cluster.Receipt, error) {
	receipts := make([]cluster.Receipt, len(batch))
	for i := range receipts {
		receipts[i].Receivers = -1
	}
	s, err := b.current()
	if err != nil {
		return receipts, err
	}
	var commands []rueidis.Completed
	var sent []int // the index of the message that each command publishes
	channels := make(map[int][]string)
	for i, m := range batch {
		p := s.partitionOf(m.Channel)
		if down := s.down(p); down != nil {
			err = first(err, down)
			continue
		}
		commands = append(commands, s.publish(p, m.Channel, m.Payload))
		sent = append(sent, i)
		if peers != nil {
			channels[p] = append(channels[p], m.Channel)
		}
	}
	counted := make([]int, 0, len(channels)) // the partition of each further command
	for p, names := range channels {
		counted = append(counted, p)
		commands = append(commands, s.subscribers(p, names, peers))
	}
	if len(commands) == 0 {
		return receipts, err
	}
	results := s.client.DoMulti(ctx, commands...)
	for i, result := range results[:len(sent)] {
		n, failed := result.AsInt64()
		if failed != nil {
			err = first(err, failed)
			continue
		}
		receipts[sent[i]].Receivers = int(n)
	}
	for i, result := range results[len(sent):] {
		counts, failed := result.AsIntMap()
		if failed != nil { // it isn't known which peers got them
			err = first(err, failed)
		}
		s.count(counted[i], batch, receipts, peers, counts, failed)
	}
	return receipts, err
}

// first returns err or, if it is nil, failed as a [cluster.ErrUnavailable].
func first(err, failed error) error {
	if err != nil || failed == nil {
		return err
	}
	return unavailable(failed)
}

// publish returns the command that publishes on a channel of a partition.
func (s *session) publish(partition int, channel string, payload []byte) rueidis.Completed {
	text := rueidis.BinaryString(payload)
	if s.sharded {
		return s.client.B().Spublish().Channel(inPartition(partition, channel)).Message(text).Build()
	}
	return s.client.B().Publish().Channel(channel).Message(text).Build()
}

// subscribers returns the command that counts the subscribers of channels and peers in a partition.
func (s *session) subscribers(partition int, channels, peers []string) rueidis.Completed {
	if !s.sharded {
		return s.client.B().PubsubNumsub().Channel(channels...).Channel(peers...).Build()
	}
	names := make([]string, 0, len(channels)+len(peers))
	for _, channel := range channels {
		names = append(names, inPartition(partition, channel))
	}
	for _, peer := range peers {
		names = append(names, inPartition(partition, peer))
	}
	// The builder's own command has no keys, so it could go to any server.
	return s.client.B().Arbitrary("PUBSUB", "SHARDNUMSUB").Keys(names...).Build()
}

// count corrects the receipts of the messages in a partition by the numbers of subscribers.
func (s *session) count(
	partition int, batch []cluster.Message, receipts []cluster.Receipt, peers []string, counts map[string]int64, failed error,
) {
	name := func(channel string) string { return channel }
	if s.sharded {
		name = func(channel string) string { return inPartition(partition, channel) }
	}
	var absent []string
	for _, peer := range peers {
		if counts[name(peer)] == 0 {
			absent = append(absent, peer)
		}
	}
	for i := range receipts {
		r := &receipts[i]
		if r.Receivers < 0 || s.partitionOf(batch[i].Channel) != partition {
			continue
		}
		r.Absent = absent
		if failed == nil {
			r.Receivers = min(r.Receivers, int(counts[name(batch[i].Channel)]))
		}
	}
}
