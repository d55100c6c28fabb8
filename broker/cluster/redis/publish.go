package redis

import (
	"context"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

// Publish implements [cluster.Bus]. What goes to a part of a Redis Cluster that
// can't be reached fails, and the rest goes out.
//
// PUBLISH says how many got a message, those included who have subscribed to a
// pattern, which no bus does. PUBSUB NUMSUB leaves them out, and says who of the
// peers is there. It goes out behind the messages in the same pipeline, and
// Redis carries out what comes in one go without a break.
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
	var sent []int // the message that each command publishes
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
	asked := make([]int, 0, len(channels)) // the partition that each command behind them is for
	for p, names := range channels {
		asked = append(asked, p)
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
		if failed != nil { // then they are as good as lost: nobody knows who got them
			err = first(err, failed)
		}
		s.count(asked[i], batch, receipts, peers, counts, failed)
	}
	return receipts, err
}

// first returns the first error, as one of a bus that can't be used.
func first(err, failed error) error {
	if err != nil || failed == nil {
		return err
	}
	return unavailable(failed)
}

// publish returns the command that publishes to a channel of a partition.
func (s *session) publish(partition int, channel string, payload []byte) rueidis.Completed {
	text := rueidis.BinaryString(payload)
	if s.sharded {
		return s.client.B().Spublish().Channel(inPartition(partition, channel)).Message(text).Build()
	}
	return s.client.B().Publish().Channel(channel).Message(text).Build()
}

// subscribers returns the command that counts the subscribers of channels of a
// partition, and of peers there.
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
	// To the builder these are no keys, so it would send it to any server.
	return s.client.B().Arbitrary("PUBSUB", "SHARDNUMSUB").Keys(names...).Build()
}

// count corrects the receipts of what was published in a partition by what Redis
// says of subscribers.
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
