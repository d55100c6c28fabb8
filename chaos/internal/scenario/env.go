package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/salabroker/sala/bench/process"
)

// Env is what a scenario runs in. It belongs to one scenario.
type Env struct {
	// Timeout is how long the scenario waits for anything that should happen soon.
	Timeout time.Duration
	// Pause is how long a server is left alone before a measurement.
	Pause time.Duration

	name    string // of the scenario
	sala    *process.Sala
	servers []*process.Server
}

// Single returns how a server is started that the scenario itself starts and stops. Args follow the
// usual ones.
func (e *Env) Single(args ...string) (process.Command, error) { return e.sala.Single(e.name, args...) }

// Cluster returns how a cluster is started that the scenario itself starts and stops.
func (e *Env) Cluster(args ...string) (process.Cluster, error) {
	return e.sala.Cluster(e.name, args...)
}

// Start starts a server that must run until the scenario is over: the scenario fails if it ends
// before.
func (e *Env) Start(ctx context.Context, args ...string) (*process.Target, error) {
	command, err := e.Single(args...)
	if err != nil {
		return nil, err
	}
	server, err := process.Start(ctx, &command)
	if err != nil {
		return nil, err
	}
	e.servers = append(e.servers, server)
	return server.Target(), nil
}

// close stops the servers and returns an error if one of them had ended by itself.
func (e *Env) close() (err error) {
	for _, server := range e.servers {
		err = errors.Join(err, server.Err())
		server.Stop()
	}
	return err
}

// DrainTimeout is the --drain-timeout of servers that get SIGTERM under load.
const DrainTimeout = 10 * time.Second

// DrainSpread is their --drain-spread.
const DrainSpread = 2 * time.Second

// DrainArgs are the arguments of servers that get SIGTERM under load.
func DrainArgs() []string {
	return []string{"--drain-timeout", DrainTimeout.String(), "--drain-spread", DrainSpread.String()}
}
