package cluster

import "testing"

// A channel and the one apart from it are half of all partitions away from each other, whatever the
// cluster's name.
func TestApart(t *testing.T) {
	for _, name := range []string{"sala", "a", "chat-2", "x.y_z", "production"} {
		channel := name + ":nodes"
		other := apart(channel)
		if far := (PartitionOf(other) - PartitionOf(channel) + Partitions) % Partitions; far != Partitions/2 {
			t.Errorf("%q and %q are %d partitions apart", channel, other, far)
		}
	}
}
