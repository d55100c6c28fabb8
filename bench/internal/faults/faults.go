// Package faults judges what was measured while something went wrong, and writes the page about it.
package faults

import (
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// limit is the most that a figure may be.
type limit struct {
	figure string
	most   float64
	what   string // the figure in words
}

// fault is one thing that goes wrong, and what must come of it.
type fault struct {
	profile string
	title   string
	text    func(result.Profile) string
	limits  []limit
	// told are figures without a limit, as they are told.
	told func(job.Figures) string
	// details is a table with more of them; nil for none.
	details func(job.Figures) string
}

// none are limits of 0.
func none(figure, what string) limit { return limit{figure: figure, what: what} }

var faults = []fault{
	stalled, abrupt, order, upgrades,
	handshakes(runner.OverWS, "Handshakes over WebSocket", "connect over WebSocket"),
	handshakes(runner.OverPolls, "Handshakes over long-polling", "connect over long-polling and upgrade"),
	hostile, shares, storm, terminate, resets, files, killBackends, killNodes, killRedis, frozen, killPairs, network, refusals, failover, shards, skewed, rolling, membership,
}

// exceeded returns the limits that a sample's figures exceed.
func (f *fault) exceeded(sample result.Sample) []limit {
	var over []limit
	for _, l := range f.limits {
		if sample.Figures[l.figure] > l.most {
			over = append(over, l)
		}
	}
	return over
}

// Describe says in a line what came of a fault.
func Describe(sample result.Sample) string {
	if sample.Error != "" {
		return "FAILED  " + sample.Error
	}
	for _, f := range faults {
		if f.profile != sample.Profile {
			continue
		}
		text := "passed  "
		over := f.exceeded(sample)
		if len(over) > 0 {
			text = "FAILED  "
		}
		text += f.told(sample.Figures)
		for _, l := range f.limits {
			text += fmt.Sprintf("; %s: %s", l.what, number(sample.Figures[l.figure]))
			if sample.Figures[l.figure] > l.most {
				text += fmt.Sprintf(" (more than %s)", number(l.most))
			}
		}
		return text
	}
	return ""
}

// Failed returns the profiles that failed.
func Failed(set *result.Set) []string {
	var names []string
	for _, sample := range set.Samples {
		for _, f := range faults {
			if f.profile == sample.Profile && (sample.Error != "" || len(f.exceeded(sample)) > 0) {
				names = append(names, sample.Profile)
			}
		}
	}
	return names
}

// partsOf returns the parts of what was measured that have a figure of their own, in the order of the alphabet.
func partsOf(f job.Figures, figure string) []string {
	var parts []string
	for name := range f {
		if part, ok := strings.CutPrefix(name, job.Of(figure, "")); ok {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return parts
}

// number formats a count, or a ratio.
func number(v float64) string {
	if v == float64(int64(v)) || v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
