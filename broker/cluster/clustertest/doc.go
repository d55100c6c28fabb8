// Package clustertest has what tests of a cluster need.
//
//	exchange.go                    a bus within the process, with faults ([Exchange])
//	faulty.go                      buses that lose, delay or freeze messages
//	node.go                        a node that records what its handler is told ([Node])
//	redis.go, sentinel.go          Redis servers of a test ([Start], [StartCluster], [StartSentinels])
//	proxy.go                       a proxy with faults in front of a Redis ([Proxy])
//	bus_suite.go, bus_client.go    tests that every [cluster.Bus] must pass ([TestBus])
//	mesh_suite*.go                 tests that a mesh on any bus must pass ([TestMesh])
package clustertest
