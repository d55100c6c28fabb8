package scenario

import (
	"fmt"
	"os"
	"strings"

	"github.com/salabroker/sala/bench/results"
)

const introduction = `# Fault runs

What happens to Sala when clients stall, vanish, attack or are sent away; when backends, nodes of a
cluster or its Redis are killed; and whether any message is lost on the way. The servers are the
released program with token checks on, in processes of their own. Clients and publishers run in
other processes and know only what the servers tell them: they record what was accepted and what
each client received, and compare the two.

` + "`make faults`" + ` measures this and writes this page; nobody edits it by hand. The figures are in
[chaos/faults.json](../chaos/faults.json). A figure above its limit fails the run.

`

// WritePage writes the page about results to a file.
func WritePage(path string, set *results.Set, all []New) error {
	text, err := page(set, all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func page(set *results.Set, all []New) (string, error) {
	var b strings.Builder
	b.WriteString(introduction)
	if set.Quick {
		b.WriteString("**This was a smoke test with small numbers.**\n\n")
	}
	for _, newScenario := range all {
		for _, sample := range set.Samples {
			profile, ok := set.Profile(newScenario(false).Info().Name)
			if !ok || sample.Profile != profile.Name {
				continue
			}
			s, err := restore(newScenario, profile)
			if err != nil {
				return "", err
			}
			writeSection(&b, s.Info(), sample)
		}
	}
	b.WriteString(Surroundings(set))
	return b.String(), nil
}

func writeSection(b *strings.Builder, i Info, sample results.Sample) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", i.Title, results.Wrap(i.Description))
	if sample.Error != "" {
		fmt.Fprintf(b, "**Failed:** %s\n\n", strings.Join(strings.Fields(sample.Error), " "))
		return
	}
	fmt.Fprintf(b, "%s\n\n| | measured | limit | |\n|---|---:|---:|---|\n", results.Wrap("Measured: "+i.Summary(sample.Figures)+"."))
	for _, l := range i.Limits {
		verdict := "passed"
		if sample.Figures[l.Figure] > l.Max {
			verdict = "**failed**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", l.What, number(sample.Figures[l.Figure]), number(l.Max), verdict)
	}
	b.WriteString("\n")
	if i.Details != nil {
		fmt.Fprintf(b, "%s\n", i.Details(sample.Figures))
	}
}

// Surroundings returns a section about what results were measured on.
func Surroundings(set *results.Set) string {
	e := set.Environment
	var b strings.Builder
	b.WriteString("## Environment\n\n| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"date", set.Date.Format("2 January 2006")},
		{"duration", set.Duration.String()},
		{"processor", fmt.Sprintf("%s, %d cores, shared by server and clients", e.CPU, e.Cores)},
		{"memory", fmt.Sprintf("%.0f GiB", float64(e.MemoryMiB)/1024)},
		{"system", fmt.Sprintf("%s, Linux %s", e.System, e.Kernel)},
		{"load average at the start", fmt.Sprintf("%.2f", e.Load)},
		{"Sala", e.Versions[results.VersionSala]},
		{"Go", e.Versions[results.VersionGo]},
		{"Redis", e.Versions[results.VersionRedis]},
	} {
		if row[1] != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
		}
	}
	return b.String()
}
