// Package scenario is what all fault runs have in common: a [Scenario] with its own typed
// configuration, the limits that its figures must keep, the environment that it runs in, and the
// page about what came of it.
//
//	scenario.go  the interface of a scenario, and its verdict
//	figures.go   the names of figures
//	env.go       servers for scenarios
//	run.go       runs scenarios one after the other
//	page.go      writes docs/faults.md
package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/salabroker/sala/bench/results"
)

// Scenario is one thing that goes wrong, and what must come of it. Its fields are its
// configuration, which is kept with the results as JSON.
type Scenario interface {
	// Info describes the scenario with its configuration.
	Info() Info
	// Run runs the scenario. Figures that are not in the result count as 0.
	Run(ctx context.Context, env *Env) (results.Figures, error)
}

// Info describes a scenario.
type Info struct {
	// Name is the name for the command line and the results.
	Name string
	// Title is the heading of the scenario's section.
	Title string
	// Description explains what is done and what must hold.
	Description string
	// Limits are the figures that decide whether the scenario passes.
	Limits []Limit
	// Summary describes figures that have no limit.
	Summary func(results.Figures) string
	// Details returns a table of further figures as Markdown; nil for none.
	Details func(results.Figures) string
}

// New returns a scenario with the configuration of a full run, or with a small one.
type New func(quick bool) Scenario

// Limit is the most that a figure may be.
type Limit struct {
	Figure string
	Max    float64
	What   string // the figure in words
}

// Zero returns a limit of 0.
func Zero(figure, what string) Limit { return Limit{Figure: figure, What: what} }

// passed reports whether figures exceed no limit.
func (i Info) passed(f results.Figures) bool {
	return !slices.ContainsFunc(i.Limits, func(l Limit) bool { return f[l.Figure] > l.Max })
}

// verdict says in one line what came of a scenario.
func (i Info) verdict(sample results.Sample) string {
	if sample.Error != "" {
		return "FAILED  " + sample.Error
	}
	text := "passed  "
	if !i.passed(sample.Figures) {
		text = "FAILED  "
	}
	text += i.Summary(sample.Figures)
	for _, l := range i.Limits {
		text += fmt.Sprintf("; %s: %s", l.What, number(sample.Figures[l.Figure]))
		if sample.Figures[l.Figure] > l.Max {
			text += fmt.Sprintf(" (limit %s)", number(l.Max))
		}
	}
	return text
}

// Failed returns the names of the scenarios that failed.
func Failed(set *results.Set, all []New) []string {
	var names []string
	for _, sample := range set.Samples {
		for _, s := range list(all, set.Quick) {
			if i := s.Info(); i.Name == sample.Profile && (sample.Error != "" || !i.passed(sample.Figures)) {
				names = append(names, sample.Profile)
			}
		}
	}
	return names
}

// list returns all scenarios.
func list(all []New, quick bool) []Scenario {
	scenarios := make([]Scenario, len(all))
	for i, newScenario := range all {
		scenarios[i] = newScenario(quick)
	}
	return scenarios
}

// restore returns a scenario with the configuration that results were measured with.
func restore(newScenario New, profile results.Profile) (Scenario, error) {
	s := newScenario(false)
	if err := json.Unmarshal(profile.Config, s); err != nil {
		return nil, fmt.Errorf("the configuration of %s: %w", profile.Name, err)
	}
	return s, nil
}

// Parts returns the parts for which there is a figure of their own (see [results.Of]), in
// alphabetical order.
func Parts(f results.Figures, figure string) []string {
	var parts []string
	for name := range f {
		if part, ok := strings.CutPrefix(name, results.Of(figure, "")); ok {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return parts
}

// number formats a count or a ratio.
func number(v float64) string {
	if v == float64(int64(v)) || v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
