package soak

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Plot is the name of the plot's file, which is beside the page.
const Plot = "soak.svg"

const introduction = `# Soak

What happens to Sala when clients of all kinds come and go for a long time while many other things
happen as well: whether it grows, and whether any message is lost. The server is the released
program, in a process of its own. Clients, backends and attackers are in another process, which
records what was accepted and what each client received.

` + "`make soak`" + ` measures this and writes this page; nobody edits it by hand. The figures are in
[chaos/soak.json](../chaos/soak.json). Anything that grows, or that is not 0 where it should be,
fails the run.

`

// Write writes the page and the plot.
func (r *Result) Write(page, plot string) error {
	if err := os.WriteFile(page, []byte(r.page()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(plot, r.plot(), 0o644)
}

func (r *Result) page() string {
	var b strings.Builder
	b.WriteString(introduction)
	if r.Quick {
		b.WriteString("**This was a smoke test. It is too short for trends.**\n\n")
	}
	r.happened(&b)
	if s := r.sample(); s.Error != "" {
		fmt.Fprintf(&b, "**Failed:** %s\n\n", strings.Join(strings.Fields(s.Error), " "))
	} else {
		r.trends(&b)
		r.counts(&b)
	}
	b.WriteString(scenario.Surroundings(r.Set))
	return b.String()
}

// happened lists what happened.
func (r *Result) happened(b *strings.Builder) {
	f := r.sample().Figures
	fmt.Fprintf(b, "## What happened\n\nFor %v, all at the same time and at random moments:\n\n", r.config.Duration)
	for _, line := range []struct {
		figure, text string
	}{
		{observe.Lasting, "clients stayed connected over WebSocket and checked what they received."},
		{figureEmitted, "messages went to all of them, by single calls, over a stream and over REST. All were numbered, so that a missing one is noticed."},
		{scenario.Asked, "events were sent by them, each with an ack, to a group of backends."},
		{figureAckEmits, "times all of them were asked for an ack, and all acks were awaited."},
		{figureVisits, "other clients came over WebSocket or long-polling, in the middle of an upgrade or without a connect packet, and vanished within two seconds; their connections were closed or reset."},
		{figureStalled, "clients stopped reading until they were disconnected."},
		{figureAttacks, "times one of the [attacks of hostile clients](faults.md#hostile-clients) went on for a while."},
		{figureSubscribes, "further backends joined that group and left it without a word."},
		{figureChanges, "times all clients of a kind joined or left a room, or a room was cleared."},
		{figureRevoked, "tokens were revoked, and their clients were disconnected."},
		{figureFreezes, "times the server's process was stopped for 0.3 s, as a busy host stops it."},
	} {
		fmt.Fprintf(b, "%s\n", strings.ReplaceAll(results.Wrap(fmt.Sprintf("- %.0f %s", f[line.figure], line.text)), "\n", "\n  "))
	}
	b.WriteString("\n")
}

// trends shows what grew.
func (r *Result) trends(b *strings.Builder) {
	late := r.late()
	fmt.Fprintf(b, "## Does it grow?\n\n![What the server uses](%s)\n\n%s\n\n", Plot, results.Wrap("The server's resources were sampled every 5 s. "+
		"A straight line through the last three quarters of the samples is fitted by least squares; ± is its 95% confidence. Something grows if its slope "+
		"exceeds the limit by more than that. The limits are meant for leaks: each client that came and went may leave no more behind than the table says."))
	b.WriteString("| | from | to | mean | slope an hour | limit an hour | left by each client | |\n|---|---:|---:|---:|---:|---:|---:|---|\n")
	for _, m := range measures() {
		if len(late) == 0 {
			break
		}
		verdict := "flat"
		switch {
		case r.Quick:
			verdict = "too short"
		case r.grows(m):
			verdict = "**grows**"
		}
		t := r.Trends[m.name]
		fmt.Fprintf(b, "| %s | %s | %s | %s | %.2f ± %.2f | %.2f | at most %s | %s |\n", strings.TrimSuffix(m.title+", "+m.inUnit, ", "),
			m.format(m.value(late[0])), m.format(m.value(late[len(late)-1])), m.format(t.Mean), t.Slope/m.unit, t.Margin/m.unit, r.allowed(m)/m.unit, m.what, verdict)
	}
	b.WriteString("\n")
}

// format formats a value in the unit of the measure.
func (m measure) format(v float64) string {
	if m.inUnit == "" {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v/m.unit)
}

// counts shows what was lost.
func (r *Result) counts(b *strings.Builder) {
	b.WriteString("## Is anything lost?\n\n| | measured | limit | |\n|---|---:|---:|---|\n")
	for _, n := range zeros() {
		value, verdict := r.sample().Figures[n.Figure], "passed"
		if value > 0 {
			verdict = "**failed**"
		}
		fmt.Fprintf(b, "| %s | %.0f | 0 | %s |\n", n.What, value, verdict)
	}
	b.WriteString("\n")
}

// clock formats a time since the start.
func clock(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
