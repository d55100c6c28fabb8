// Package simulation runs whole systems in one process: brokers, the bus between them,
// a network, clients and publishers. A seed decides how many there are and what happens
// to them. Afterwards a checker that knows nothing of the broker's insides compares what
// every client has with what it must have.
//
// The package consists of tests. docs/simulation.md says what they cover and how to
// repeat a seed.
//
//	simulation_test.go  runs seeds, and prints the timeline of one that fails
//	plan_test.go        what a seed decides before a run
//	workload_test.go    the actions: messages, changes, faults
//	world_test.go       everything that a run consists of; node_test.go, bus_test.go
//	network_test.go     connections that are slow, break and lose data
//	client_test.go      socket.io-client; below it engine_test.go and websocket_test.go
//	history_test.go     what publishers and clients have seen
//	checker_test.go     what is wrong with a history; recovery_test.go: with returns
//
// # Time and determinism
//
// A run takes place in a bubble of testing/synctest: time passes only while everybody
// waits, so minutes take milliseconds, and everything that a run has started must end.
//
// The scheduler draws all decisions from the seed, and so does each client for itself.
// Half of the plans take one action after the other, and wait until nothing moves
// in between. Such a run usually takes the same course each time. The other half take several
// actions at the same time, to find races.
//
// Go's scheduler, the order of its maps and its choice among ready channels are
// beyond the seed's control, though. Within one moment of a run things happen in an
// order that may differ. So a seed that fails once may need several attempts to fail again.
package simulation
