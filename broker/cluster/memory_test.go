package cluster_test

import (
	"testing"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

func TestMemoryBus(t *testing.T) {
	clustertest.TestBus(t, memoryNetwork)
}

func memoryNetwork(*testing.T) clustertest.Network {
	x := cluster.NewExchange()
	return clustertest.Network{Bus: x.Bus, SetDown: x.SetDown}
}
