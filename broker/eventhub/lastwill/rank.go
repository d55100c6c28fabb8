package lastwill

import (
	"cmp"
	"slices"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/wire"
	"github.com/salabroker/sala/broker/eventhub/internal/rendezvous"
)

// successorCount is how many other nodes keep the sockets of one. With more, more nodes may be lost
// at the same time; each node then takes memory and messages for as many others.
const successorCount = 4

// rank returns nodes in the order in which they are successors of node. When one comes or goes the
// others keep their order.
func rank(node cluster.NodeID, others []cluster.NodeID) []cluster.NodeID {
	weights := make(map[cluster.NodeID]uint64, len(others))
	for _, other := range others {
		weights[other] = rendezvous.Weight(string(node), string(other), 0)
	}
	ranked := slices.Clone(others)
	slices.SortFunc(ranked, func(a, b cluster.NodeID) int {
		return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b))
	})
	return ranked
}

// heardFirst moves the nodes that may be lost to the end of a ranking. Otherwise all successors of a
// node could be nodes whose loss isn't noticed yet.
func heardFirst(ranked, silent []cluster.NodeID) []cluster.NodeID {
	slices.SortStableFunc(ranked, func(a, b cluster.NodeID) int {
		return cmp.Compare(toInt(slices.Contains(silent, a)), toInt(slices.Contains(silent, b)))
	})
	return ranked
}

// better compares what two nodes keep of a lost one. It is positive if a is to publish rather than
// b, because it is publishing already or knows more.
func better(a, b *wire.WillState) int {
	return cmp.Or(
		cmp.Compare(toInt(a.GetPublishing()), toInt(b.GetPublishing())),
		cmp.Compare(toInt(a.GetComplete()), toInt(b.GetComplete())),
		cmp.Compare(a.GetVersion(), b.GetVersion()),
		cmp.Compare(toInt(a.GetEpoch() > 0), toInt(b.GetEpoch() > 0)),
	)
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
