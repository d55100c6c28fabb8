package report

import (
	"math"

	"github.com/salabroker/sala/bench/internal/bench"
	"github.com/salabroker/sala/bench/results"
)

// aim is a ratio of figures, or a figure, that Sala is meant to keep below.
type aim struct {
	text string
	most float64 // the largest value that reaches the aim
	// of is divided by each of to, and the largest ratio counts: the one to the best of the others.
	// Without to it is the figure itself.
	of results.Source
	to []results.Source
}

func source(profile, peer, figure string) results.Source {
	return results.Source{Profile: profile, Peer: peer, Figure: figure}
}

var aims = []aim{
	{"CPU per delivery in a burst, relative to centrifuge", 0.18,
		source(bench.ProfileBurst, bench.PeerSala, bench.CPU), []results.Source{source(bench.ProfileBurst, bench.PeerCentrifuge, bench.CPU)}},
	{"CPU per delivery in a burst, relative to Node", 1.0 / 15,
		source(bench.ProfileBurst, bench.PeerSala, bench.CPU), []results.Source{source(bench.ProfileBurst, bench.PeerNode, bench.CPU)}},
	{"CPU per delivery when paced, relative to the raw write loop", 1.12,
		source(bench.ProfilePaced, bench.PeerSala, bench.CPU), []results.Source{source(bench.ProfilePaced, bench.PeerFloor, bench.CPU)}},
	{"p99 when paced, relative to the best other server", 1,
		source(bench.ProfilePaced, bench.PeerSala, bench.P99), []results.Source{
			source(bench.ProfilePaced, bench.PeerNode, bench.P99), source(bench.ProfilePaced, bench.PeerCentrifuge, bench.P99), source(bench.ProfilePaced, bench.PeerLibrary, bench.P99),
		}},
	{"Memory per idle WebSocket connection, relative to Node", 0.7,
		source(bench.ProfileIdle, bench.PeerSala, bench.RSS), []results.Source{source(bench.ProfileIdle, bench.PeerNode, bench.RSS)}},
	{"Memory per idle WebSocket connection, KiB", 2.5, source(bench.ProfileIdle, bench.PeerSala, bench.RSS), nil},
	{"The same right after connecting, KiB", 4, source(bench.ProfileIdle, bench.PeerSala, bench.RSSFresh), nil},
	{"Memory per connection after an upgrade, relative to one without", 1.1,
		source(bench.ProfileDefault, bench.PeerSala, bench.RSS), []results.Source{source(bench.ProfileIdle, bench.PeerSala, bench.RSS)}},
	{"CPU per connection with a verified JWT, relative to centrifuge without", 0.85,
		source(bench.ProfileConnect, bench.PeerSala, bench.ConnectCPU), []results.Source{source(bench.ProfileConnect, bench.PeerCentrifuge, bench.ConnectCPU)}},
	{"CPU per delivery in one wide room, relative to the raw write loop", 1,
		source(bench.ProfileWide, bench.PeerSala, bench.CPU), []results.Source{source(bench.ProfileWide, bench.PeerFloor, bench.CPU)}},
	{"CPU per delivery in many rooms, relative to the raw write loop", 1.08,
		source(bench.ProfileRooms, bench.PeerSala, bench.CPU), []results.Source{source(bench.ProfileRooms, bench.PeerFloor, bench.CPU)}},
	{"CPU per unary emit, relative to an empty handler", 1.5,
		source(bench.ProfileControl, bench.PeerSala, bench.UnaryCPU), []results.Source{source(bench.ProfileControl, bench.PeerEmpty, bench.UnaryCPU)}},
	{"CPU per message of an EmitStream, relative to a unary emit", 0.2,
		source(bench.ProfileControl, bench.PeerSala, bench.StreamCPU), []results.Source{source(bench.ProfileControl, bench.PeerSala, bench.UnaryCPU)}},
	{"CPU per REST call, µs", 100, source(bench.ProfileControl, bench.PeerSala, bench.RESTCPU), nil},
	{"CPU per event of a client that a backend answers, µs", 10, source(bench.ProfileEvents, bench.PeerSala, bench.CPU), nil},
	{"p50 to another node's clients, above the p50 to its own, ms", 1, source(bench.ProfileCluster, bench.PeerSala, bench.P50More), nil},
	{"p99 to another node's clients, above the p99 to its own, ms", 5, source(bench.ProfileCluster, bench.PeerSala, bench.P99More), nil},
	{"CPU per delivery to another node's clients, relative to its own", 1.3,
		source(bench.ProfileCluster, bench.PeerSala, bench.CPUFar), []results.Source{source(bench.ProfileCluster, bench.PeerSala, bench.CPUNear)}},
	{"Messages over Redis per emit, including heartbeats", 1.02, source(bench.ProfileCluster, bench.PeerSala, bench.Publishes), nil},
	{"CPU of a whole cluster per delivery, at once, relative to Node", 1.0 / 3,
		source(bench.ProfileCluster, bench.PeerSala, bench.AllBurst), []results.Source{source(bench.ProfileCluster, bench.PeerNode, bench.AllBurst)}},
}

// measured returns the ratio to the best of the others, or the figure. N is 0 if it was not
// measured.
func (a aim) measured(set *results.Set) results.Spread {
	if len(a.to) == 0 {
		return set.Spread(a.of)
	}
	best := results.Spread{Median: math.Inf(-1)}
	for _, base := range a.to {
		if ratio := set.Ratio(a.of, base); ratio.N > 0 && ratio.Median > best.Median {
			best = ratio
		}
	}
	return best
}
