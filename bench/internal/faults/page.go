package faults

import (
	"fmt"
	"os"
	"strings"

	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

const introduction = `# Faults

What becomes of Sala when clients stall, vanish, are hostile, or are sent away, when backends, nodes of a cluster or its Redis are killed, and
whether anything is lost on the way. The servers are the product as it is released, with its token check on, in processes of their own;
the clients and the publishers are in another, which knows of them only what they say: it writes down what was accepted and what
each client got, and compares. This page is written by the run that measured it (` + "`make faults`" + `), never by hand; the figures are in
[bench/faults.json](../bench/faults.json). A figure above its limit fails the run.

`

// WritePage writes the page.
func WritePage(set *result.Set, path string) error {
	return os.WriteFile(path, []byte(page(set)), 0o644)
}

func page(set *result.Set) string {
	var b strings.Builder
	b.WriteString(introduction)
	if set.Quick {
		b.WriteString("**This is a smoke test, in small.**\n\n")
	}
	for _, f := range faults {
		for _, sample := range set.Samples {
			if profile, ok := set.Profile(f.profile); ok && sample.Profile == f.profile {
				f.write(&b, profile, sample)
			}
		}
	}
	e := set.Environment
	fmt.Fprintf(&b, "## What it ran on\n\n| | |\n|---|---|\n| date | %s |\n| took | %v |\n| processor | %s, %d cores, shared by server and clients |\n"+
		"| memory | %.0f GiB |\n| system | %s, Linux %s |\n| load average at the start | %.2f |\n| Sala | %s |\n| Go | %s |\n| Redis | %s |\n",
		set.Date.Format("2 January 2006"), set.Duration, e.CPU, e.Cores, float64(e.MemoryMiB)/1024, e.System, e.Kernel, e.Load,
		e.Versions[runner.Sala], e.Versions["go"], e.Versions[runner.Redis])
	return b.String()
}

func (f *fault) write(b *strings.Builder, profile result.Profile, sample result.Sample) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", f.title, f.text(profile))
	if sample.Error != "" {
		fmt.Fprintf(b, "**Failed:** %s\n\n", strings.Join(strings.Fields(sample.Error), " "))
		return
	}
	fmt.Fprintf(b, "Measured: %s.\n\n| | measured | limit | |\n|---|---:|---:|---|\n", f.told(sample.Figures))
	for _, l := range f.limits {
		verdict := "passed"
		if sample.Figures[l.figure] > l.most {
			verdict = "**failed**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", l.what, number(sample.Figures[l.figure]), number(l.most), verdict)
	}
	b.WriteString("\n")
	if f.details != nil {
		fmt.Fprintf(b, "%s\n", f.details(sample.Figures))
	}
}
