package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/server"
)

// nodes is how many servers make a cluster.
const nodes = 3

// single returns how a server is started that is alone.
func (r *Runner) single(peer string, profile result.Profile) (job.Command, error) {
	free, err := server.FreeAddresses(3)
	if err != nil {
		return job.Command{}, err
	}
	return r.prepared(peer, profile, profile.Name+"-"+peer, addresses{listen: free[0], control: free[1], http: free[2]})
}

// start starts a server.
func (r *Runner) start(ctx context.Context, peer string, profile result.Profile) (*server.Server, error) {
	c, err := r.single(peer, profile)
	if err != nil {
		return nil, err
	}
	return server.Start(ctx, &c)
}

// prepared returns how a server is started, with a new log.
func (r *Runner) prepared(peer string, profile result.Profile, log string, at addresses) (job.Command, error) {
	c := r.command(peer, at)
	if peer == Sala {
		c.Args = append(c.Args, profile.Args...)
	}
	c.Name, c.Log = log, filepath.Join(r.cfg.Logs, log+".log")
	if err := os.Remove(c.Log); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	return c, nil
}

// cluster returns how the servers of a cluster are started, Redis before the others. The load generator does that, since
// some of its jobs are to kill them.
func (r *Runner) cluster(peer string, profile result.Profile) ([]job.Command, error) {
	free, err := server.FreeAddresses(1 + 3*nodes)
	if err != nil {
		return nil, err
	}
	redis, err := r.prepared(Redis, profile, profile.Name+"-redis-of-"+peer, addresses{listen: free[0]})
	if err != nil {
		return nil, err
	}
	commands := []job.Command{redis}
	for i, at := range slices.Collect(slices.Chunk(free[1:], 3)) {
		c, err := r.prepared(peer, profile, fmt.Sprintf("%s-%s-%d", profile.Name, peer, i+1),
			addresses{listen: at[0], control: at[1], http: at[2], redis: free[0]})
		if err != nil {
			return nil, err
		}
		commands = append(commands, c)
	}
	return commands, nil
}
