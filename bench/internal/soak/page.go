package soak

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/runner"
)

// Plot is the name of the plot's file, beside the page.
const Plot = "soak.svg"

const introduction = `# Soak

What becomes of Sala when clients of all kinds come and go for long, while everything else happens as well: whether it grows, and
whether anything is lost. The server is the product as it is released, in a process of its own; clients, backends and those who attack are
in another, which writes down what was accepted and what each client got. This page is written by the run that measured it
(` + "`make soak`" + `), never by hand; the figures are in [bench/soak.json](../bench/soak.json). What grows, or isn't 0 where it should be, fails the run.

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
		b.WriteString("**This is a smoke test: it is too short to tell anything of trends.**\n\n")
	}
	r.happened(&b)
	if s := r.sample(); s.Error != "" {
		fmt.Fprintf(&b, "**Failed:** %s\n\n", strings.Join(strings.Fields(s.Error), " "))
	} else {
		r.trends(&b)
		r.counts(&b)
	}
	e := r.Environment
	fmt.Fprintf(&b, "## What it ran on\n\n| | |\n|---|---|\n| date | %s |\n| took | %v |\n| processor | %s, %d cores, shared by server and clients |\n"+
		"| memory | %.0f GiB |\n| system | %s, Linux %s |\n| Sala | %s |\n| Go | %s |\n",
		r.Date.Format("2 January 2006"), r.Duration, e.CPU, e.Cores, float64(e.MemoryMiB)/1024, e.System, e.Kernel, e.Versions[runner.Sala], e.Versions["go"])
	return b.String()
}

// happened says what happened.
func (r *Result) happened(b *strings.Builder) {
	profile, _ := r.Profile(runner.Soak)
	f := r.sample().Figures
	fmt.Fprintf(b, "## What happened\n\nFor %v, all at the same time and at random moments:\n\n", profile.Job.Duration)
	for _, line := range []struct {
		figure, text string
	}{
		{job.Lasting, "clients stayed, over WebSocket, and watched"},
		{job.Emitted, "messages went to all of them: by single calls, over a stream, and over REST; numbered, so that each can be missed"},
		{job.Asked, "events were sent by them, each with an ack, to a group of backends"},
		{job.Questions, "times all of them were asked something, and all answers waited for"},
		{job.Visits, "other clients came, over WebSocket, long-polling, in the middle of an upgrade or without a word, and vanished within two seconds, ended or reset"},
		{job.Stayed, "clients stopped to read until they were disconnected"},
		{job.Attacked, "times one of the [attacks of hostile clients](faults.md#hostile-clients) went on for a while"},
		{job.Subscribes, "more backends joined that group and left it without a word"},
		{job.Changed, "times all clients of a kind joined or left a room, or a room was cleared"},
		{job.Revoked, "tokens were revoked, whose clients were thrown out"},
		{job.Freezes, "times the server's process was stopped for 0.3 s, as a busy host does"},
	} {
		fmt.Fprintf(b, "- %.0f %s\n", f[line.figure], line.text)
	}
	b.WriteString("\n")
}

// trends says what grew.
func (r *Result) trends(b *strings.Builder) {
	late := r.late()
	fmt.Fprintf(b, "## Whether it grows\n\n![What the server takes](%s)\n\nEvery 5 s it was looked at what the server takes. A straight line is laid through the last "+
		"three quarters by least squares; ± is 95%% confidence. Something grows if the slope is above its limit by more than that. The limits are for a leak: "+
		"no more than what is said may stay behind of each client that came and went.\n\n", Plot)
	b.WriteString("| | from | to | mean | slope an hour | limit an hour | left by each client | |\n|---|---:|---:|---:|---:|---:|---:|---|\n")
	for _, m := range measures {
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
			m.tell(m.value(late[0])), m.tell(m.value(late[len(late)-1])), m.tell(t.Mean), t.Slope/m.unit, t.Margin/m.unit, r.allowed(m)/m.unit, m.what, verdict)
	}
	b.WriteString("\n")
}

// tell formats a value.
func (m measure) tell(v float64) string {
	if m.inUnit == "" {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v/m.unit)
}

// counts says what was lost.
func (r *Result) counts(b *strings.Builder) {
	b.WriteString("## Whether anything is lost\n\n| | measured | limit | |\n|---|---:|---:|---|\n")
	for _, n := range none {
		value, verdict := r.sample().Figures[n.figure], "passed"
		if value > 0 {
			verdict = "**failed**"
		}
		fmt.Fprintf(b, "| %s | %.0f | 0 | %s |\n", n.what, value, verdict)
	}
	b.WriteString("\n")
}

// clock formats a time since the beginning.
func clock(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
