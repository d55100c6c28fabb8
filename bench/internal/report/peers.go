package report

import (
	"fmt"

	"github.com/salabroker/sala/bench/internal/bench"
	"github.com/salabroker/sala/bench/results"
)

// order is the order of rows and bars.
var order = []string{bench.PeerFloor, bench.PeerRing, bench.PeerSala, bench.PeerCentrifuge, bench.PeerNode, bench.PeerLibrary, bench.PeerEmpty}

// title returns the name of a server on the page.
func title(set *results.Set, peer string) string {
	version := set.Environment.Versions[peer]
	switch peer {
	case bench.PeerFloor:
		return "Floor: raw write loop"
	case bench.PeerRing:
		return "Floor: io_uring"
	case bench.PeerSala:
		return "Sala"
	case bench.PeerCentrifuge:
		return "centrifuge " + version
	case bench.PeerNode:
		return "Socket.IO " + version + " on Node"
	case bench.PeerLibrary:
		return "Socket.IO in Go " + version
	case bench.PeerEmpty:
		return "Empty gRPC handler"
	default:
		return peer
	}
}

// number formats a figure with about three significant digits.
func number(v float64) string {
	switch {
	case v >= 99.5 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.95:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.095:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}
