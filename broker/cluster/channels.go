package cluster

import "hash/fnv"

// Partitions is the number of parts that channels are divided into where a bus has several servers.
// All channels of a part live on one server and fail with it.
const Partitions = 16

// PartitionOf returns the part that a channel belongs to.
func PartitionOf(channel string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(channel)) // never fails
	return int(h.Sum32() % Partitions)
}

// apart returns a channel whose name begins with that of another and whose partition is half of all
// partitions away. Where servers have equal shares, it lives on another server.
func apart(channel string) string {
	const far = Partitions / 2
	for suffix := []byte(":a"); ; suffix[1]++ {
		other := channel + string(suffix)
		if (PartitionOf(other)-PartitionOf(channel)+Partitions)%Partitions == far || suffix[1] == 'z' {
			return other
		}
	}
}

// nodesChannels are two channels that every node is subscribed to. They live on different servers,
// so that a failing server doesn't separate the nodes.
func (m *Mesh) nodesChannels() [2]string {
	return [2]string{m.prefix + "nodes", apart(m.prefix + "nodes")}
}

func (m *Mesh) nodeChannel(id NodeID) string    { return m.prefix + "node:" + string(id) }
func (m *Mesh) topicChannel(topic Topic) string { return m.prefix + "topic:" + string(topic) }
func (m *Mesh) table(name string) string        { return m.prefix + "table:" + name }
func (m *Mesh) value(name string) string        { return m.prefix + "value:" + name }
