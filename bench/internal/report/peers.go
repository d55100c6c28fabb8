package report

import (
	"fmt"

	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// order is that of the rows and bars.
var order = []string{runner.Floor, runner.Sala, runner.Centrifuge, runner.Node, runner.Library, runner.Empty}

// title returns what a server is called.
func title(set *result.Set, peer string) string {
	version := set.Environment.Versions[peer]
	switch peer {
	case runner.Floor:
		return "Floor: raw write loop"
	case runner.Sala:
		return "Sala"
	case runner.Centrifuge:
		return "centrifuge " + version
	case runner.Node:
		return "Socket.IO " + version + " on Node"
	case runner.Library:
		return "Socket.IO in Go " + version
	case runner.Empty:
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
