package redis

// Name returns the name of a channel on a Redis Cluster.
func Name(channel string) string { return inPartition(partitionOf(channel), channel) }
