package runner

import (
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

// addresses are where a server listens.
type addresses struct {
	listen, control, http string
}

// command is how a server is started.
type command struct {
	protocol job.Protocol
	path     string
	args     []string
	env      []string
	wait     []string // where it listens once it is ready
}

// command returns how a server is started. All have their defaults, except for where they listen.
func (r *Runner) command(peer string, at addresses) command {
	args := []string{"--listen", at.listen, "--control", at.control}
	both := []string{at.listen, at.control}
	switch peer {
	case Floor:
		return command{protocol: job.Floor, path: r.binary("floor"), args: args, wait: both}
	case Node:
		script := filepath.Join(r.cfg.Home, "peers", "node", "server.mjs")
		return command{
			protocol: job.SocketIO, path: "node", args: append([]string{script}, args...),
			env: []string{"NODE_ENV=production"}, wait: both,
		}
	case Centrifuge:
		return command{protocol: job.Centrifuge, path: r.binary("centrifuge"), args: args, wait: both}
	case Library:
		return command{protocol: job.SocketIO, path: r.binary("library"), args: args, wait: both}
	case Empty:
		return command{
			protocol: job.GRPC, path: r.binary("grpc"), args: []string{"--control", at.control}, wait: []string{at.control},
		}
	default:
		return command{
			protocol: job.Sala,
			path:     r.cfg.Sala,
			args: []string{
				"serve", "--listen", at.listen, "--grpc-listen", at.control, "--http-listen", at.http, "--drain-timeout", "1s",
			},
			env:  []string{"SALA_JWT_SECRET=" + r.secret, "SALA_API_KEY=" + r.apiKey},
			wait: append(both, at.http),
		}
	}
}

func (r *Runner) binary(name string) string { return filepath.Join(r.cfg.Home, "bin", name) }
