package cluster_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
)

func TestExchange(t *testing.T) {
	clustertest.TestBus(t, exchangeNetwork)
}

func exchangeNetwork(*testing.T) clustertest.Network {
	x := clustertest.NewExchange()
	return clustertest.Network{Bus: x.Bus, SetDown: x.SetDown, Faulty: func() (cluster.Bus, func(clustertest.Fault)) {
		bus := x.Bus()
		return bus, func(f clustertest.Fault) { x.SetFault(bus, f) }
	}}
}

func TestMeshOnExchange(t *testing.T) { clustertest.TestMesh(t, exchangeNetwork) }

// Late messages are no different.
func TestLaggyMesh(t *testing.T) {
	clustertest.TestMesh(t, func(t *testing.T) clustertest.Network {
		n := exchangeNetwork(t)
		return clustertest.Network{SetDown: n.SetDown, Bus: func() cluster.Bus {
			return &clustertest.Laggy{Bus: n.Bus(), Lag: 4 * time.Millisecond, Random: rand.New(rand.NewPCG(1, 2))}
		}}
	})
}
