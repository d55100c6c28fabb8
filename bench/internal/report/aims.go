package report

import (
	"math"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// aim is a ratio, or a figure, that Sala is meant to keep below.
type aim struct {
	text string
	// most is the largest value that is good enough.
	most float64
	// of is in proportion to the smallest ratio's base: the best of them. Without any it is what it is.
	of result.Source
	to []result.Source
}

func source(profile, peer, figure string) result.Source {
	return result.Source{Profile: profile, Peer: peer, Figure: figure}
}

var aims = []aim{
	{"CPU per delivery in a burst, of centrifuge's", 1.0 / 3,
		source(runner.Burst, runner.Sala, job.CPU), []result.Source{source(runner.Burst, runner.Centrifuge, job.CPU)}},
	{"CPU per delivery in a burst, of Node's", 1.0 / 15,
		source(runner.Burst, runner.Sala, job.CPU), []result.Source{source(runner.Burst, runner.Node, job.CPU)}},
	{"CPU per delivery when paced, of the floor's", 1.2,
		source(runner.Paced, runner.Sala, job.CPU), []result.Source{source(runner.Paced, runner.Floor, job.CPU)}},
	{"p99 when paced, of the best other server's", 1,
		source(runner.Paced, runner.Sala, job.P99), []result.Source{
			source(runner.Paced, runner.Node, job.P99), source(runner.Paced, runner.Centrifuge, job.P99), source(runner.Paced, runner.Library, job.P99),
		}},
	{"Memory per idle WebSocket connection, of Node's", 0.7,
		source(runner.Idle, runner.Sala, job.RSS), []result.Source{source(runner.Idle, runner.Node, job.RSS)}},
	{"Memory per connection after an upgrade, of one without", 1.1,
		source(runner.Default, runner.Sala, job.RSS), []result.Source{source(runner.Idle, runner.Sala, job.RSS)}},
	{"CPU per connect with a JWT verified, of centrifuge's without", 1,
		source(runner.Connect, runner.Sala, job.ConnectCPU), []result.Source{source(runner.Connect, runner.Centrifuge, job.ConnectCPU)}},
	{"CPU per delivery in one wide room, of that when paced", 1.2,
		source(runner.Wide, runner.Sala, job.CPU), []result.Source{source(runner.Paced, runner.Sala, job.CPU)}},
	{"CPU per delivery in many rooms, of that when paced", 1.2,
		source(runner.Rooms, runner.Sala, job.CPU), []result.Source{source(runner.Paced, runner.Sala, job.CPU)}},
	{"CPU per unary emit, of an empty handler's", 1.5,
		source(runner.Control, runner.Sala, job.UnaryCPU), []result.Source{source(runner.Control, runner.Empty, job.UnaryCPU)}},
	{"CPU per message of an EmitStream, of a unary emit's", 0.2,
		source(runner.Control, runner.Sala, job.StreamCPU), []result.Source{source(runner.Control, runner.Sala, job.UnaryCPU)}},
	{"p50 to another node's clients above that to its own, ms", 1, source(runner.Cluster, runner.Sala, job.P50More), nil},
	{"p99 to another node's clients above that to its own, ms", 5, source(runner.Cluster, runner.Sala, job.P99More), nil},
	{"CPU per delivery to another node's clients, of that to its own", 1.3,
		source(runner.Cluster, runner.Sala, job.CPUFar), []result.Source{source(runner.Cluster, runner.Sala, job.CPUNear)}},
	{"Messages over Redis per emit, heartbeats included", 1.02, source(runner.Cluster, runner.Sala, job.Publishes), nil},
	{"CPU of a whole cluster per delivery, at once, of Node's", 1.0 / 3,
		source(runner.Cluster, runner.Sala, job.AllBurst), []result.Source{source(runner.Cluster, runner.Node, job.AllBurst)}},
}

// measured returns the ratio to the best of the bases, or the figure; N is 0 if it wasn't measured.
func (a aim) measured(set *result.Set) result.Spread {
	if len(a.to) == 0 {
		return set.Spread(a.of)
	}
	best := result.Spread{Median: math.Inf(-1)}
	for _, base := range a.to {
		if ratio := set.Ratio(a.of, base); ratio.N > 0 && ratio.Median > best.Median {
			best = ratio
		}
	}
	return best
}
