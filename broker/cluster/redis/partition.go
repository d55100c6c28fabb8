package redis

import (
	"strings"

	"github.com/salabroker/sala/broker/cluster"
)

// partitions is the number of hash tags that channels are spread over on a Redis Cluster. More
// masters than that don't help.
const partitions = cluster.Partitions

// partitionTags returns a short hash tag for each partition. Their slots divide the 16,384 slots
// about evenly and in order, so that masters with equal ranges of slots get equal shares.
func partitionTags() [partitions]string {
	return [partitions]string{
		"18", "249", "72", "223", "19", "2", "64", "222",
		"265", "34", "404", "155", "264", "22", "219", "48",
	}
}

func partitionOf(channel string) int { return cluster.PartitionOf(channel) }

// inPartition returns the name of a channel in a partition of a Redis Cluster.
func inPartition(partition int, channel string) string {
	tags := partitionTags()
	return "{" + tags[partition] + "}" + channel
}

// untagged returns the channel for its name in a partition.
func untagged(name string) string {
	_, channel, _ := strings.Cut(name, "}")
	return channel
}
