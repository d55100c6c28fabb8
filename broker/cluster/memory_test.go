package cluster_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

func TestMemoryBus(t *testing.T) {
	clustertest.TestBus(t, memoryNetwork)
}

func memoryNetwork(*testing.T) clustertest.Network {
	x := cluster.NewExchange()
	return clustertest.Network{Bus: x.Bus, SetDown: x.SetDown, Faulty: func() (cluster.Bus, func(cluster.Fault)) {
		bus := x.Bus()
		return bus, func(f cluster.Fault) { x.SetFault(bus, f) }
	}}
}

func TestMemoryMesh(t *testing.T) { clustertest.TestMesh(t, memoryNetwork) }

// TestLaggyMesh: what comes late comes all the same.
func TestLaggyMesh(t *testing.T) {
	clustertest.TestMesh(t, func(t *testing.T) clustertest.Network {
		n := memoryNetwork(t)
		return clustertest.Network{SetDown: n.SetDown, Bus: func() cluster.Bus {
			return &clustertest.Laggy{Bus: n.Bus(), Lag: 4 * time.Millisecond, Random: rand.New(rand.NewPCG(1, 2))}
		}}
	})
}
