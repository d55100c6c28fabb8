// Package bench measures servers: each [Benchmark] has its own typed configuration, and the
// [Runner] starts one server after the other, each with a load generator in a process of its own.
//
//	benchmark.go  what a benchmark is, and the process that runs it
//	figures.go    the names of figures
//	plan.go       which benchmarks are run, and with which numbers
//	peers.go      the servers, and how they are started
//	protocols.go  the protocols of servers that do not speak Socket.IO
//	runner.go     runs a plan
//	deliver.go    publishes to rooms
//	connect.go    what connecting costs
//	hold.go       the memory of idle connections
//	control.go    calls of the control API
//	events.go     events of clients and their acks
//	cluster.go    several servers that share a Redis
//	redis.go      commands that a Redis has counted
package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// Benchmark is one measurement of one server, or of several that are one. Its fields are its
// configuration, which is kept with the results as JSON.
type Benchmark interface {
	// run measures. It calls ready once all clients are connected, if it keeps them.
	run(ctx context.Context, env *environment, ready func()) (results.Figures, error)
}

// environment is what a benchmark runs in.
type environment struct {
	// Target is the server under test; not set for a cluster.
	Target process.Target
	// Cluster is how the servers of a cluster are started, which the benchmark does itself.
	Cluster process.Cluster
	// Protocol is the name of the clients' protocol; empty if the server has no clients.
	Protocol string
	// Pause is how long a server is left alone before a measurement.
	Pause time.Duration
	// Timeout is how long messages may take to arrive after the last one was published; later ones
	// are missing.
	Timeout time.Duration
}

// order is the configuration of a child that runs a benchmark.
type order[B any] struct {
	Environment environment
	Benchmark   B
}

// Roles returns what this program does as a child of itself: it runs one benchmark.
func Roles() map[string]process.Role {
	return map[string]process.Role{
		roleOf(Deliver{}): process.NewRole(runOrder[Deliver]),
		roleOf(Connect{}): process.NewRole(runOrder[Connect]),
		roleOf(Hold{}):    process.NewRole(runOrder[Hold]),
		roleOf(Control{}): process.NewRole(runOrder[Control]),
		roleOf(Events{}):  process.NewRole(runOrder[Events]),
		roleOf(Cluster{}): process.NewRole(runOrder[Cluster]),
	}
}

// roleOf returns the role that runs a benchmark.
func roleOf(b Benchmark) string { return fmt.Sprintf("%T", b) }

func runOrder[B Benchmark](ctx context.Context, o order[B], notify func(any)) (any, error) {
	return o.Benchmark.run(ctx, &o.Environment, func() { notify(process.Ready{}) })
}

// options returns how clients connect.
func (e *environment) options(polling bool) (load.Options, error) {
	p, err := newProtocol(e.Protocol, polling)
	return load.Options{Protocol: p}, err
}

// connector returns a connector for clients that speak the server's protocol.
func (e *environment) connector(polling bool) (*load.Connector, error) {
	o, err := e.options(polling)
	if err != nil {
		return nil, err
	}
	return load.NewConnector(&e.Target, o)
}

// addConnects adds what is known about connections; used is the CPU time that they took.
func addConnects(f results.Figures, c *load.Connector, used time.Duration) {
	f[Connects], f[Lost] = float64(c.Tried()), float64(c.Lost())
	f[ConnectCPU] = load.Micros(used) / float64(c.Tried())
	f[ConnectP99] = load.Millis(c.Latency().Quantile(0.99))
}

// cost measures the CPU time of the server and of this process while do runs.
func (e *environment) cost(ctx context.Context, do func() error) (server, own time.Duration, err error) {
	before, err := load.UsageAfter(ctx, e.Pause, e.Target.PID)
	if err != nil {
		return 0, 0, err
	}
	ownBefore := process.OwnCPU()
	if err := do(); err != nil {
		return 0, 0, err
	}
	ownAfter := process.OwnCPU()
	after, err := load.UsageAfter(ctx, load.Trailing, e.Target.PID)
	return after.CPU - before.CPU, ownAfter - ownBefore, err
}
