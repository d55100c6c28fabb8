package redis

import (
	"strings"

	"github.com/salabroker/sala/broker/cluster"
)

// partitions is how many hash tags the channels are spread over on a Redis
// Cluster. More than that many masters don't help.
const partitions = cluster.Partitions

// partitionTags are short hash tags whose slots divide the 16,384 there are
// about evenly, one for each partition in turn, so that masters with equal
// ranges of slots get an equal share.
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

// untagged returns the channel of a name.
func untagged(name string) string {
	_, channel, _ := strings.Cut(name, "}")
	return channel
}
