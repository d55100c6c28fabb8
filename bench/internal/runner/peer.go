package runner

import (
	"net"
	"path/filepath"

	"github.com/salabroker/sala/bench/internal/job"
)

// The servers.
const (
	Floor      = "floor"
	Node       = "node"
	Centrifuge = "centrifuge"
	Library    = "library"
	Sala       = "sala"
	Empty      = "empty"
)

// Redis carries what the nodes of a cluster say to each other. It isn't measured by itself.
const Redis = "redis"

// addresses are where a server listens.
type addresses struct {
	listen, control, http string
	redis                 string // of its cluster; empty for a server alone
}

// command returns how a server is started. All have their defaults, except for where they listen.
func (r *Runner) command(peer string, at addresses) job.Command {
	args := []string{"--listen", at.listen, "--control", at.control}
	both := []string{at.listen, at.control}
	target := func(p job.Protocol) job.Target {
		return job.Target{Protocol: p, Listen: at.listen, Control: at.control}
	}
	switch peer {
	case Floor:
		return job.Command{Target: target(job.Floor), Path: r.binary("floor"), Args: args, Wait: both}
	case Node:
		if at.redis != "" {
			args = append(args, "--redis", "redis://"+at.redis)
		}
		script := filepath.Join(r.cfg.Home, "peers", "node", "server.mjs")
		return job.Command{
			Target: target(job.SocketIO), Path: "node", Args: append([]string{script}, args...),
			Env: []string{"NODE_ENV=production"}, Wait: both,
		}
	case Centrifuge:
		return job.Command{Target: target(job.Centrifuge), Path: r.binary("centrifuge"), Args: args, Wait: both}
	case Library:
		return job.Command{Target: target(job.SocketIO), Path: r.binary("library"), Args: args, Wait: both}
	case Empty:
		return job.Command{
			Target: target(job.GRPC), Path: r.binary("grpc"), Args: []string{"--control", at.control}, Wait: []string{at.control},
		}
	case Redis:
		return redisCommand(at.listen)
	default:
		return r.sala(target(job.Sala), at)
	}
}

func (r *Runner) sala(target job.Target, at addresses) job.Command {
	target.HTTP, target.APIKey, target.GreedyKey = at.http, r.apiKey, r.greedyKey
	c := job.Command{
		Target: target,
		Path:   r.cfg.Sala,
		Args: []string{
			"serve", "--listen", at.listen, "--grpc-listen", at.control, "--http-listen", at.http, "--drain-timeout", "1s",
		},
		Env:  []string{"SALA_JWT_SECRET=" + r.secret, "SALA_API_KEY=" + r.apiKey + " greedy=" + r.greedyKey},
		Wait: []string{at.listen, at.control, at.http},
	}
	if at.redis != "" {
		c.Args = append(c.Args, "--redis-url", "redis://"+at.redis)
		c.Env = append(c.Env, "SALA_CLUSTER_KEY="+r.secret)
		c.Ready = "http://" + at.http + "/readyz"
	}
	return c
}

// redisCommand starts a Redis that keeps nothing on disk.
func redisCommand(listen string) job.Command {
	host, port, _ := net.SplitHostPort(listen) // it was listened on
	return job.Command{
		Target: job.Target{Listen: listen},
		Path:   "redis-server",
		Args:   []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no"},
		Wait:   []string{listen},
	}
}

func (r *Runner) binary(name string) string { return filepath.Join(r.cfg.Home, "bin", name) }
