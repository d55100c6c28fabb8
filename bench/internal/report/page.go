// Package report writes the page and the plot about the results of the benchmarks.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/salabroker/sala/bench/internal/bench"
	"github.com/salabroker/sala/bench/results"
)

// The page and the plot in the folder of the documentation.
const (
	Page = "benchmarks.md"
	Plot = "images/benchmarks.svg"
)

// Write writes page and plot into a folder.
func Write(set *results.Set, docs string) error {
	if err := os.MkdirAll(filepath.Join(docs, filepath.Dir(Plot)), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, Plot), plot(set), 0o644); err != nil {
		return err
	}
	text, err := page(set)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, Page), []byte(text), 0o644)
}

// page returns the page as Markdown.
func page(set *results.Set) (string, error) {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	if set.Quick {
		b.WriteString("**This was a smoke test. Its figures mean nothing.**\n\n")
	}
	b.WriteString(introduction)
	b.WriteString(quietness(set))
	fmt.Fprintf(&b, "![What the servers cost, side by side](%s)\n\n", Plot)
	if err := writeAims(&b, set); err != nil {
		return "", err
	}
	for _, s := range sections {
		if err := s.write(&b, set); err != nil {
			return "", fmt.Errorf("%s: %w", s.profile, err)
		}
	}
	writeFailures(&b, set)
	writeEnvironment(&b, set)
	b.WriteString(closing)
	return b.String(), nil
}

const introduction = `What Sala costs, compared with other servers that do the same job on the same machine in the same
run. ` + "`make bench`" + ` measures this and writes this page and its plot; nobody edits them by hand.

Sala is the released program with default settings. It checks tokens, and messages are published
over gRPC. The others are the smallest server that does the job with each library and its default
settings, without tokens: Socket.IO on Node, centrifuge (Go, with its own protocol), and a Go port
of Socket.IO, whose packet types Sala uses. The floor is a loop that writes prepared frames to
sockets and does nothing else; a second floor gives the kernel many writes with one system call.

`

// The machine is quiet if no measurement began while others used more than maxBusy of it, and if
// its host took less than maxStolen of it away.
const maxBusy, maxStolen = 0.1, 0.05

// quietness returns a paragraph of warning if the machine was not quiet.
func quietness(set *results.Set) string {
	busy, stolen := set.Disturbance()
	if busy.Max <= maxBusy && stolen.Max <= maxStolen {
		return ""
	}
	return results.Wrap(fmt.Sprintf("**The machine was not quiet.** Other programs used up to %.0f %% of it just before a measurement (median %.0f %%), and its host "+
		"took up to %.0f %% away during one (median %.0f %%). Trust medians of ratios more than single figures.",
		100*busy.Max, 100*busy.Median, 100*stolen.Max, 100*stolen.Median)) + "\n\n"
}

func writeAims(b *strings.Builder, set *results.Set) error {
	b.WriteString("## Aims\n\n" + results.Wrap("Each row is a ratio between figures of the same run, or a figure with a unit: the median over the runs, with the "+
		"smallest and the largest value. The aims are set where a prototype or a profile shows that more is possible, so some aren't reached.") + "\n\n")
	b.WriteString("| | aim | measured | |\n|---|---:|---:|---|\n")
	for _, a := range aims {
		ratio := a.measured(set)
		if ratio.N == 0 {
			continue
		}
		verdict := "reached"
		if ratio.Median > a.most {
			verdict = "**not reached**"
		}
		fmt.Fprintf(b, "| %s | ≤ %s | %s | %s |\n", a.text, number(a.most), spread(ratio), verdict)
	}
	if profile, ok := set.Profile(bench.ProfileHandshakes); ok {
		var handshakes bench.Connect
		if err := json.Unmarshal(profile.Config, &handshakes); err != nil {
			return err
		}
		count := set.Spread(source(bench.ProfileHandshakes, bench.PeerSala, bench.Lost))
		if count.N > 0 {
			verdict := "reached"
			if count.Max > 0 {
				verdict = "**not reached**"
			}
			fmt.Fprintf(b, "| Lost handshakes of %d | 0 | %.0f | %s |\n", handshakes.Clients, count.Max, verdict)
		}
	}
	b.WriteString("\n")
	return nil
}

// write writes a profile's table.
func (s section) write(b *strings.Builder, set *results.Set) error {
	profile, ok := set.Profile(s.profile)
	if !ok {
		return nil
	}
	text, err := s.text(profile.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "## %s\n\n%s\n\n", s.title, results.Wrap(text))
	bases := s.bases(set)
	header, rule := "| ", "|---|"
	for i, c := range s.columns {
		header += "| " + c.title + " "
		rule += "---:|"
		if i > 0 {
			continue
		}
		for _, base := range bases {
			header += "| × " + baseTitle(base) + " "
			rule += "---:|"
		}
	}
	b.WriteString(header + "|\n" + rule + "\n")
	for _, peer := range order {
		s.writeRow(b, set, peer, bases)
	}
	b.WriteString("\n")
	return nil
}

// bases returns the servers that the others are compared with.
func (s section) bases(set *results.Set) []string {
	var bases []string
	for _, peer := range []string{bench.PeerFloor, bench.PeerRing, bench.PeerNode, bench.PeerCentrifuge, bench.PeerEmpty} {
		if set.Spread(source(s.profile, peer, s.columns[0].figure)).N > 0 {
			bases = append(bases, peer)
		}
	}
	return bases
}

func baseTitle(peer string) string {
	switch peer {
	case bench.PeerRing:
		return "io_uring"
	case bench.PeerNode:
		return "Node"
	case bench.PeerEmpty:
		return "empty handler"
	default:
		return peer
	}
}

func (s section) writeRow(b *strings.Builder, set *results.Set, peer string, bases []string) {
	lead := source(s.profile, peer, s.columns[0].figure)
	if set.Spread(lead).N == 0 {
		return
	}
	name := title(set, peer)
	if peer == bench.PeerSala {
		name = "**" + name + "**"
	}
	fmt.Fprintf(b, "| %s ", name)
	for i, c := range s.columns {
		value := set.Spread(source(s.profile, peer, c.figure))
		if c.against != "" {
			value = set.Ratio(source(s.profile, peer, c.figure), source(c.against, peer, c.figure))
		}
		switch {
		case value.N == 0:
			b.WriteString("| – ")
		case c.total:
			fmt.Fprintf(b, "| %.0f ", value.Max)
		default:
			fmt.Fprintf(b, "| %s ", spread(value))
		}
		if i > 0 {
			continue
		}
		for _, base := range bases {
			fmt.Fprintf(b, "| %s ", spread(set.Ratio(lead, source(s.profile, base, c.figure))))
		}
	}
	b.WriteString("|\n")
}

// spread formats a median with the smallest and the largest value.
func spread(s results.Spread) string {
	if s.N < 2 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

func writeFailures(b *strings.Builder, set *results.Set) {
	failed := set.Failed()
	if len(failed) == 0 {
		return
	}
	b.WriteString("## Failures\n\n")
	for _, sample := range failed {
		message := strings.Join(strings.Fields(sample.Error), " ")
		fmt.Fprintf(b, "- %s of %s, run %d: %s\n", sample.Profile, sample.Peer, sample.Run, message)
	}
	b.WriteString("\n")
}

func writeEnvironment(b *strings.Builder, set *results.Set) {
	e := set.Environment
	runs := 0
	for _, p := range set.Profiles {
		runs = max(runs, p.Runs)
	}
	busy, stolen := set.Disturbance()
	b.WriteString("## Environment\n\n| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"date", set.Date.Format("2 January 2006")},
		{"duration", set.Duration.String()},
		{"runs", fmt.Sprintf("%d of each measurement, the servers in turn (handshakes: one)", runs)},
		{"processor", fmt.Sprintf("%s, %d cores, shared by server and load generator", e.CPU, e.Cores)},
		{"memory", fmt.Sprintf("%.0f GiB", float64(e.MemoryMiB)/1024)},
		{"system", fmt.Sprintf("%s, Linux %s", e.System, e.Kernel)},
		{"load average at the start", fmt.Sprintf("%.2f", e.Load)},
		{"in use by others before a measurement", percents(busy)},
		{"stolen by the host during one", percents(stolen)},
		{"io_uring", e.Versions[bench.VersionRing]},
		{"Sala", e.Versions[results.VersionSala]},
		{"Go", e.Versions[results.VersionGo]},
		{"Node", e.Versions[bench.VersionNodeJS]},
		{"Socket.IO on Node, with ws", e.Versions[bench.PeerNode]},
		{"its Redis adapter", e.Versions[bench.VersionAdapter]},
		{"Redis", e.Versions[results.VersionRedis]},
		{"centrifuge", e.Versions[bench.PeerCentrifuge]},
		{"Socket.IO in Go: zishang520/socket.io/servers/socket", e.Versions[bench.PeerLibrary]},
		{"grpc-go", e.Versions[bench.PeerEmpty]},
	} {
		if row[1] != "" {
			fmt.Fprintf(b, "| %s | %s |\n", row[0], row[1])
		}
	}
	b.WriteString("\n")
}

// percents formats a spread of shares.
func percents(s results.Spread) string {
	return fmt.Sprintf("%.1f %% (%.1f–%.1f)", 100*s.Median, 100*s.Min, 100*s.Max)
}
