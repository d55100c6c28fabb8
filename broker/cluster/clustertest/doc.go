// Package clustertest has what tests of a cluster need: Redis servers of their
// own ([Start], [StartCluster]), buses that lose or delay what arrives
// ([Lossy], [Laggy], [Freezer]), and the tests that every [cluster.Bus] has to
// pass ([TestBus], [TestMesh]).
package clustertest
