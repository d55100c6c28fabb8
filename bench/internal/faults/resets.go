package faults

import (
	"fmt"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var resets = fault{
	profile: runner.Resets,
	title:   "Resets at any moment",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d TCP connections are reset (RST) at random moments of their lives: in the handshake, before and after the connect, when the "+
			"connection has just become idle, while an event is answered, in the middle of an upgrade from long-polling. They come from all over "+
			"127.0.0.0/8. Meanwhile %.0f messages a second go to everyone, and a room that they are in is cleared again and again. %d servers take turns, with `%s`; the "+
			"last one speaks TLS. When each has had its share, what it says it has (`sala_connections`, `sala_sockets`, `/v1/sockets`, sockets that a "+
			"message is for) is compared with the connections that the kernel has: those of the clients that stay all the while. Then further connections are reset "+
			"while the server is told to end (SIGTERM).",
			p.Job.Clients, 1/p.Job.Every.Seconds(), p.Job.Rounds, strings.Join(p.Args, " "))
	},
	limits: []limit{
		none(job.Ghosts, "connections and sockets that the server has and the kernel doesn't, or the reverse"),
		none(job.Stayed, "connections that the kernel has beside those that stay"),
		{job.Ended, runner.DrainTimeout.Seconds() + 2, "seconds until a server had ended"},
		none(job.Failed, "exit codes other than 0"),
		none(job.Faulty, "lines of the log that say that the broker is at fault"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%.0f connections reset in %.0f s", f[job.ResetConns], f[job.Seconds])
	},
}
