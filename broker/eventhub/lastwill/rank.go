package lastwill

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
)

// heirCount is how many other nodes remember the sockets of one. More would
// make more simultaneous losses harmless, and cost each node the memory and the
// messages for as many others.
const heirCount = 4

// rank returns nodes in the order in which they are heirs of node, by
// rendezvous hashing: when one comes or goes the others keep their order.
func rank(node cluster.NodeID, others []cluster.NodeID) []cluster.NodeID {
	weights := make(map[cluster.NodeID]uint64, len(others))
	for _, other := range others {
		weights[other] = weight(node, other)
	}
	ranked := slices.Clone(others)
	slices.SortFunc(ranked, func(a, b cluster.NodeID) int {
		return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b))
	})
	return ranked
}

func weight(node, other cluster.NodeID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(node + "\x00" + other)) // never fails
	sum := h.Sum64()
	// The finish of SplitMix64, without which similar ids would weigh about the same.
	sum = (sum ^ sum>>30) * 0xbf58476d1ce4e5b9
	sum = (sum ^ sum>>27) * 0x94d049bb133111eb
	return sum ^ sum>>31
}

// better compares what two nodes remember of a lost one: positive if a knows more
// than b, or tells already.
func better(a, b *wire.WillState) int {
	return cmp.Or(
		compareBool(a.GetTelling(), b.GetTelling()),
		compareBool(a.GetComplete(), b.GetComplete()),
		cmp.Compare(a.GetVersion(), b.GetVersion()),
		compareBool(a.GetEpoch() > 0, b.GetEpoch() > 0),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
