package faults

import (
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// The limits of what comes of messages in a cluster.
var delivered = []limit{
	none(job.Missing, "messages that clients lack"),
	none(job.Untold, "messages that clients lack though the answer counted all nodes"),
	none(job.Short, "answers that counted all nodes, and too few clients"),
	none(job.Disorder, "messages that came twice, or behind a later one of the same caller"),
}

// setting says what all faults of clusters begin with.
func setting(j job.Job) string {
	return fmt.Sprintf("Three nodes on one Redis, %d clients at each, all in one room. Through each node a caller emits to the room, "+
		"every %.0f ms or as soon as it is answered.", j.Clients, millis(j.Every))
}

// messages says what came of them.
func messages(f job.Figures) string {
	return fmt.Sprintf("%.0f messages accepted, %.0f of them with the counts of all nodes; %.0f received by %.0f clients",
		f[job.Accepted], f[job.Complete], f[job.Received], f[job.Clients])
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var killNodes = fault{
	profile: runner.KillNodes,
	title:   "Nodes that are killed",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" %d times one of the nodes is killed (`kill -9`), in turn, and started again; its clients come "+
			"back to any of the others. Each client must have each message that was accepted while it was connected, if only it stayed so "+
			"for another second: what a node accepted right before it was killed may be lost with it.", p.Job.Rounds)
	},
	limits: append([]limit{{job.Noticed, 5, "seconds until the others had noticed"}}, delivered...),
	told: func(f job.Figures) string {
		return fmt.Sprintf("%s; %.0f kills; clients were back within %.2f s", messages(f), f[job.Kills], f[job.Away])
	},
}

var killRedis = fault{
	profile: runner.KillRedis,
	title:   "Redis is killed",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" %d times Redis is killed, and started again within 0.3 s; once more for 5 s in which nobody says "+
			"anything. Each client must have each message that its own node has accepted, all the while, and each one of others "+
			"whose answer wasn't called partial.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		none(job.Refused, "messages that were not accepted"),
		{job.Slowest, 1000, "slowest answer, ms"},
		{job.Resumed, 5, "seconds until everyone heard everyone again"},
		{job.Spinning, 5, "CPU of the idle nodes without Redis, percent of one processor"},
	}, delivered...),
	told: func(f job.Figures) string { return fmt.Sprintf("%s; %.0f kills", messages(f), f[job.Kills]) },
}

var frozen = fault{
	profile: runner.Frozen,
	title:   "A node that freezes",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" One node is stopped for 10 s and goes on then, %d times over (`SIGSTOP`, `SIGCONT`). The clients of the "+
			"others must have each message that these accept, and all clients each message whose answer counted all nodes.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		{job.Noticed, 5, "seconds until the others had noticed"},
		{job.Resumed, 5, "seconds until everyone heard everyone again"},
	}, delivered...),
	told: messages,
}

var killPairs = fault{
	profile: runner.KillPairs,
	title:   "Nodes that are killed together",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" %d times two of the three are killed (`kill -9`), up to 2 s apart. A backend at the third must hear once of "+
			"the end of each of their clients that had been connected for a second.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Unsaid, "clients whose end the backend didn't hear of"),
		none(job.Twice, "clients whose end it heard of twice"),
		{job.Told, 12, "seconds until it had heard of all"},
	}, delivered...),
	told: func(f job.Figures) string {
		return fmt.Sprintf("%s; %.0f kills; %.0f ends of clients", messages(f), f[job.Kills], f[job.Ends])
	},
}

var network = fault{
	profile: runner.Network,
	title:   "The network to Redis",
	text: func(p result.Profile) string {
		return setting(p.Job) + " Each node reaches Redis by a proxy, which closes connections for 1 s and for 7 s, swallows for 7 s what goes to Redis and " +
			"what comes from it, delays it by 60 ms and lets 200 KiB a second pass: " + rounds(p.Job.Rounds, "for one node", "for all nodes") +
			". Each client must have each message that its own node has accepted, and each whose answer counted all nodes; but not what " +
			"other nodes accepted when they had heard nothing of its node for so long that they may have taken it for dead, 3 s."
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		{job.Resumed, 10, "seconds until everyone heard everyone again"},
	}, delivered...),
	told: func(f job.Figures) string { return fmt.Sprintf("%s; %.0f faults", messages(f), f[job.Kills]) },
}

// rounds says what happens in turn.
func rounds(n int, one, other string) string {
	if n == 1 {
		return "once " + one
	}
	return fmt.Sprintf("%d times, in turn %s and %s", n, one, other)
}

var refusals = fault{
	profile: runner.Refusals,
	title:   "A Redis that refuses",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" %d times Redis refuses the nodes for 6 s to publish, to subscribe, and both on all channels, by its ACL. "+
			"Each client must have each message that its own node has accepted, and each whose answer counted all nodes.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		{job.Resumed, 10, "seconds until everyone heard everyone again"},
	}, delivered...),
	told: func(f job.Figures) string { return fmt.Sprintf("%s; %.0f refusals", messages(f), f[job.Kills]) },
}

var failover = fault{
	profile: runner.Failover,
	title:   "Sentinels replace the Redis",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" The nodes know three sentinels, which replace the Redis by its replica %d times: in turn as an operator asks "+
			"(`SENTINEL FAILOVER`) and since it was killed. They call it dead after 1 s. Each client must have each message that its own node has "+
			"accepted, and each whose answer counted all nodes.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		{job.Planned, 15, "seconds until everyone heard everyone again, planned"},
		{job.Resumed, 20, "seconds until everyone heard everyone again, killed"},
	}, delivered...),
	told: func(f job.Figures) string { return fmt.Sprintf("%s; %.0f failovers", messages(f), f[job.Kills]) },
}

var shards = fault{
	profile: runner.Shards,
	title:   "A Redis Cluster replaces its masters",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" The Redis is a Redis Cluster of three masters with a replica each. %d times a replica takes over: in turn as an "+
			"operator asks (`CLUSTER FAILOVER`) and since its master was killed. The cluster calls it dead after 1.5 s. Each client must have each message that its own "+
			"node has accepted, and each whose answer counted all nodes.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		{job.Planned, 15, "seconds until everyone heard everyone again, planned"},
		{job.Resumed, 20, "seconds until everyone heard everyone again, killed"},
	}, delivered...),
	told: func(f job.Figures) string { return fmt.Sprintf("%s; %.0f failovers", messages(f), f[job.Kills]) },
}

var skewed = fault{
	profile: runner.Skew,
	title:   "A clock that is wrong",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" %d times the clock of one node is 45 s ahead for 8 s, so that nodes can't believe each other's messages. (That node is a "+
			"program of the run's own around the same broker, whose clock can be set.) Each client must have each message that its own node has accepted, and each "+
			"whose answer counted all nodes.", p.Job.Rounds)
	},
	limits: append([]limit{
		none(job.Gone, "clients that lost their connection"),
		{job.Resumed, 10, "seconds until everyone heard everyone again"},
	}, delivered...),
	told: messages,
}

var rolling = fault{
	profile: runner.Rolling,
	title:   "A rolling restart",
	text: func(p result.Profile) string {
		return setting(p.Job) + fmt.Sprintf(" One node after the other is told to end (`SIGTERM`), sends its clients away over up to %v, and is started again. "+
			"Each client must have each message that was accepted before its node, or the one that took it, was told to end, and all that "+
			"others accept meanwhile.", runner.DrainSpread)
	},
	limits: append([]limit{
		{job.Back, runner.DrainSpread.Seconds(), "seconds until all clients of a node were at others"},
		none(job.Unheard, "connections that ended without a goodbye"),
	}, delivered...),
	told: func(f job.Figures) string {
		return fmt.Sprintf("%s; %.0f clients were sent away, each was back within %.2f s; a node had ended within %.1f s",
			messages(f), f[job.Gone], f[job.Away], f[job.Ended])
	},
}

var membership = fault{
	profile: runner.Membership,
	title:   "Membership against a model",
	text: func(p result.Profile) string {
		return fmt.Sprintf("Three nodes on one Redis, %d clients at each. %d random calls, each to a random node, have sockets, or the members of rooms, join and leave "+
			"rooms, clear rooms, and disconnect sockets, whose clients come back to any node. Each answer's count must be that of a "+
			"model that does the same; at the end each node must list exactly the model's sockets and rooms.", p.Job.Clients, p.Job.Calls)
	},
	limits: []limit{
		none(job.Wrong, "answers with another count, or partial"),
		none(job.Apart, "sockets and rooms that a node lists otherwise"),
	},
	told: func(f job.Figures) string {
		return fmt.Sprintf("%.0f calls, %.0f sockets at the end", f[job.Ops], f[job.Clients])
	},
}
