package faults

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

var stalled = fault{
	profile: runner.Stalled,
	title:   "Clients that stop to read",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients in one room, %.0f messages of about 130 bytes a second. Then %d of them stop to read from their "+
			"connections, and get larger messages as well, since the kernel alone takes in more than a megabyte for each: so many that their queues "+
			"are soon full, but in the last round so few that it is the write timeout that ends them. In each of %d rounds others "+
			"stop. Latency is the median over the rounds, and within a round over windows of %.0f s, before and while clients "+
			"stall and go.",
			p.Job.Clients+p.Job.Stalled, 1/p.Job.Every.Seconds(), p.Job.Stalled, p.Job.Rounds,
			float64(p.Job.Batches)*p.Job.Every.Seconds())
	},
	limits: []limit{
		{job.P99Ratio, 1.2, "p99 of the others, in proportion to before"},
		none(job.Stayed, "stalled clients still connected at the end"),
		none(job.Uncounted, "stalled clients not counted as slow consumers"),
		{job.Held, 1024, "growth of the memory for each stalled client, KiB (the queue's limit is 1 MiB)"},
		none(job.Missing, "messages that the others missed"),
		none(job.Disorder, "messages that the others got out of order"),
		none(job.Gone, "others who lost their connection"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("p99 %.2f ms before, %.2f ms while others stall; the last stalled client was gone within %.0f s",
			f[job.P99], f[job.P99Stalled], f[job.Seconds])
	},
}

var abrupt = fault{
	profile: runner.Abrupt,
	title:   "Clients that vanish",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients connect, and all are cut off at once without a word of goodbye; %d times over. They are on "+
			"WebSocket, upgraded, with a poll pending, between two polls, in the middle of an upgrade, or haven't sent their connect "+
			"yet; their TCP connections are reset or ended. The server runs with `%s`. Compared are the moments before the first crowd "+
			"and after the last, when the garbage is collected. The first one leaves tables that have grown, and the runtime's own "+
			"record of goroutines; later ones must not add to the heap.", p.Job.Clients, p.Job.Rounds, strings.Join(p.Args, " "))
	},
	limits: []limit{
		{job.MoreGos, float64(job.KeptReaders * runtime.NumCPU()), "goroutines more than before (16 for each processor may wait for something to read)"},
		none(job.MoreFiles, "open files more than before"),
		{job.MoreHeap, 2048, "live heap more than when the first crowd had gone, KiB"},
		none(job.Listed, "sockets or connections still counted or listed"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("at the most %.0f goroutines, %.0f files and %.1f MiB of live heap while they were there; the first crowd left %.1f MiB",
			f[job.Goroutines], f[job.OpenFiles], f[job.Heap]/1024, f[job.HeapOnce]/1024)
	},
}

var order = fault{
	profile: runner.Order,
	title:   "Emit, then disconnect",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients, half on WebSocket, half on long-polling, half of those with a poll pending. Each is sent a message, "+
			"by a call or over an EmitStream, and as soon as that is answered it is disconnected. It must get the message, the "+
			"reason, the disconnect packet and the connection's end, in this order and nothing else.", p.Job.Clients)
	},
	limits: []limit{none(job.Broken, "clients that got anything else")},
	told:   func(f job.Figures) string { return fmt.Sprintf("%.0f clients", f[job.Clients]) },
}

var upgrades = fault{
	profile: runner.Upgrades,
	title:   "Upgrades under way",
	text: func(p result.Profile) string {
		return fmt.Sprintf("%d clients connect over long-polling and change to WebSocket, at different moments, while %.0f messages a "+
			"second go to all of them, others to each alone, and they send events whose acks they wait for. All messages are numbered. "+
			"No number may be missing, come twice or come late, within a kind or across kinds.", p.Job.Clients, 1/p.Job.Every.Seconds())
	},
	limits: []limit{none(job.Broken, "clients that missed something, or got it twice or late")},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%.0f upgrades; %.0f messages to all, %.0f to one and %.0f acks received by those who upgraded",
			f[job.Upgrades], f[job.Broadcasts], f[job.Directed], f[job.Acks])
	},
}

func handshakes(profile, title, what string) fault {
	return fault{
		profile: profile,
		title:   title,
		text: func(p result.Profile) string {
			return fmt.Sprintf("%d clients %s, %d at a time, each with a JWT that is verified, and leave as soon as they are in their room. "+
				"One is lost if an answer takes longer than 5 s.", p.Job.Clients, what, p.Job.Window)
		},
		limits: []limit{none(job.Lost, "lost handshakes")},
		told: func(f job.Figures) string {
			return fmt.Sprintf("%.0f handshakes, %.0f µs of the server's CPU each, p99 %.1f ms", f[job.Connects], f[job.ConnectCPU], f[job.ConnectP99])
		},
	}
}
