// Package report writes the page and the plot about the benchmarks from what was measured.
package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// Where the page and the plot are, in the folder of the documentation.
const (
	Page = "benchmarks.md"
	Plot = "images/benchmarks.svg"
)

// Write writes page and plot into a folder.
func Write(set *result.Set, docs string) error {
	if err := os.MkdirAll(filepath.Join(docs, filepath.Dir(Plot)), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, Plot), plot(set), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, Page), []byte(page(set)), 0o644)
}

// page returns the page as Markdown.
func page(set *result.Set) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	if set.Quick {
		b.WriteString("**This is a smoke test. Its figures mean nothing.**\n\n")
	}
	b.WriteString(introduction)
	fmt.Fprintf(&b, "![What the servers need, side by side](%s)\n\n", Plot)
	writeAims(&b, set)
	for _, s := range sections {
		s.write(&b, set)
	}
	writeFailures(&b, set)
	writeEnvironment(&b, set)
	b.WriteString(closing)
	return b.String()
}

const introduction = `What Sala costs, next to others that do the same job on the same machine in the same run. This page and its plot are
written by the run that measured them (` + "`make bench`" + `), never by hand.

Sala is the product as it is released, with its default settings, its token check on and its messages published over gRPC. The
others are the smallest server that does the job with each library, with its default settings and nobody's token to check:
Socket.IO on Node, centrifuge (Go, with a protocol of its own), and a Go port of Socket.IO, whose packet types
Sala uses, as it comes. The floor is a loop that writes frames built beforehand to sockets and does nothing else; no server that
writes to sockets one by one does the paced job for less.

`

func writeAims(b *strings.Builder, set *result.Set) {
	b.WriteString("## What Sala aims at\n\n")
	b.WriteString("Each is a ratio between figures of the same run, or a figure where it says so: the median over the runs, with the smallest " +
		"and the largest beside it. In wide and in many rooms the floor, which only writes, needs as much more than when paced as its " +
		"rows say: that part is the kernel's.\n\n")
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
	if profile, ok := set.Profile(runner.Handshakes); ok {
		count := set.Spread(source(runner.Handshakes, runner.Sala, job.Lost))
		if count.N > 0 {
			verdict := "reached"
			if count.Max > 0 {
				verdict = "**not reached**"
			}
			fmt.Fprintf(b, "| Lost handshakes of %d | 0 | %.0f | %s |\n", profile.Job.Clients, count.Max, verdict)
		}
	}
	b.WriteString("\n")
}

// write writes a profile's table.
func (s section) write(b *strings.Builder, set *result.Set) {
	profile, ok := set.Profile(s.profile)
	if !ok {
		return
	}
	fmt.Fprintf(b, "## %s\n\n%s\n\n", s.title, s.text(profile.Job))
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
}

// bases returns the servers that the others are put in proportion to.
func (s section) bases(set *result.Set) []string {
	var bases []string
	for _, peer := range []string{runner.Floor, runner.Node, runner.Centrifuge, runner.Empty} {
		if set.Spread(source(s.profile, peer, s.columns[0].figure)).N > 0 {
			bases = append(bases, peer)
		}
	}
	return bases
}

func baseTitle(peer string) string {
	switch peer {
	case runner.Node:
		return "Node"
	case runner.Empty:
		return "empty handler"
	default:
		return peer
	}
}

func (s section) writeRow(b *strings.Builder, set *result.Set, peer string, bases []string) {
	lead := source(s.profile, peer, s.columns[0].figure)
	if set.Spread(lead).N == 0 {
		return
	}
	name := title(set, peer)
	if peer == runner.Sala {
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
			fmt.Fprintf(b, "| %s ", number(set.Ratio(lead, source(s.profile, base, c.figure)).Median))
		}
	}
	b.WriteString("|\n")
}

// spread formats a median with the smallest and the largest value beside it.
func spread(s result.Spread) string {
	if s.N < 2 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

func writeFailures(b *strings.Builder, set *result.Set) {
	failed := set.Failed()
	if len(failed) == 0 {
		return
	}
	b.WriteString("## What failed\n\n")
	for _, sample := range failed {
		message := strings.Join(strings.Fields(sample.Error), " ")
		fmt.Fprintf(b, "- %s of %s, run %d: %s\n", sample.Profile, sample.Peer, sample.Run, message)
	}
	b.WriteString("\n")
}

func writeEnvironment(b *strings.Builder, set *result.Set) {
	e := set.Environment
	runs := 0
	for _, p := range set.Profiles {
		runs = max(runs, p.Runs)
	}
	b.WriteString("## What it ran on\n\n| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"date", set.Date.Format("2 January 2006")},
		{"took", set.Duration.String()},
		{"runs", fmt.Sprintf("%d of each measurement, the servers in turn (handshakes: one)", runs)},
		{"processor", fmt.Sprintf("%s, %d cores, shared by server and load generator", e.CPU, e.Cores)},
		{"memory", fmt.Sprintf("%.0f GiB", float64(e.MemoryMiB)/1024)},
		{"system", fmt.Sprintf("%s, Linux %s", e.System, e.Kernel)},
		{"load average at the start", fmt.Sprintf("%.2f", e.Load)},
		{"Sala", e.Versions[runner.Sala]},
		{"Go", e.Versions["go"]},
		{"Node", e.Versions["nodejs"]},
		{"Socket.IO on Node", e.Versions[runner.Node] + ", with ws"},
		{"its Redis adapter", e.Versions["adapter"]},
		{"Redis", e.Versions[runner.Redis]},
		{"centrifuge", e.Versions[runner.Centrifuge]},
		{"Socket.IO in Go", "github.com/zishang520/socket.io/servers/socket/v3 " + e.Versions[runner.Library]},
		{"grpc-go", e.Versions[runner.Empty]},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", row[0], row[1])
	}
	b.WriteString("\n")
}
