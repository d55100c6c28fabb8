package redis_test

import (
	"testing"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/cluster/redis"
)

func TestBus(t *testing.T) { clustertest.TestBus(t, single) }

func TestMesh(t *testing.T) { clustertest.TestMesh(t, single) }

// TestRedisCluster is both suites on one Redis Cluster.
func TestRedisCluster(t *testing.T) {
	network := sharded(t)
	t.Run("bus", func(t *testing.T) { clustertest.TestBus(t, network) })
	t.Run("mesh", func(t *testing.T) { clustertest.TestMesh(t, network) })
}

// single is the network of one redis-server.
func single(t *testing.T) clustertest.Network {
	server := clustertest.Start(t)
	return clustertest.Network{
		Bus: func() cluster.Bus { return bus(t, server.URL()) },
		SetDown: func(down bool) {
			if down {
				server.Kill()
			} else {
				server.Restart()
			}
		},
	}
}

// sharded is the network of a Redis Cluster, one for all tests, since it takes
// seconds to form.
func sharded(t *testing.T) func(*testing.T) clustertest.Network {
	servers := clustertest.StartCluster(t)
	return func(t *testing.T) clustertest.Network {
		return clustertest.Network{
			Bus: func() cluster.Bus { return bus(t, servers[0].URL()) },
			SetDown: func(down bool) {
				for _, server := range servers {
					if down {
						server.Kill()
					} else {
						server.Restart()
					}
				}
				if !down {
					clustertest.AwaitCluster(servers)
				}
			},
		}
	}
}

func bus(t *testing.T, url string) cluster.Bus {
	t.Helper()
	b, err := redis.New(redis.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
