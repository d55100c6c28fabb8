package cluster

import "hash/fnv"

// Partitions is how many parts the channels are divided into where a bus has
// several servers. Each part lives on one of them, and fails with it.
const Partitions = 16

// PartitionOf returns the part that a channel belongs to.
func PartitionOf(channel string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(channel)) // never fails
	return int(h.Sum32() % Partitions)
}

// apart returns a channel whose name begins with that of another, as far from it
// as two partitions can be: where servers have equal shares, it lives on another.
func apart(channel string) string {
	const far = Partitions / 2
	for suffix := []byte(":a"); ; suffix[1]++ {
		if other := channel + string(suffix); (PartitionOf(other)-PartitionOf(channel)+Partitions)%Partitions == far || suffix[1] == 'z' {
			return other
		}
	}
}
