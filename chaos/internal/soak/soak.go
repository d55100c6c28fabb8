// Package soak lets clients of all kinds come and go at a server for a long time, and decides
// whether the server grows.
//
//	run.go     runs a soak
//	actors.go  what happens during a soak
//	soak.go    decides whether anything grows
//	trend.go   a straight line through values
//	page.go    writes docs/soak.md
//	plot.go    draws docs/soak.svg
package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Moment is what a server uses at one moment of a soak.
type Moment struct {
	Seconds    float64 `json:"seconds"` // since the start
	RSS        float64 `json:"rss"`     // resident memory, bytes
	Heap       float64 `json:"heap"`    // what the last garbage collection left, bytes
	Goroutines float64 `json:"goroutines"`
	Files      float64 `json:"files"` // open
}

// String describes a moment in one line.
func (m Moment) String() string {
	return fmt.Sprintf("%6v  %6.1f MiB resident  %5.1f MiB live heap  %4.0f goroutines  %4.0f files",
		time.Duration(m.Seconds*float64(time.Second)).Round(time.Second), m.RSS/(1<<20), m.Heap/(1<<20), m.Goroutines, m.Files)
}

// Result is one soak, as it is kept in a file.
type Result struct {
	*results.Set
	Moments []Moment         `json:"moments"`
	Trends  map[string]Trend `json:"trends"`

	config Config
}

// measure is something that must not grow.
type measure struct {
	name   string // in the file
	title  string
	unit   float64 // in which it is shown
	inUnit string
	value  func(Moment) float64
	// perVisit is how much of it a client that came and went may leave behind for good.
	perVisit float64
	what     string // that, in words
}

// rare is how many goroutines or files a visit may leave behind: more than one for 10,000 visits is
// a leak.
const rare = 1.0 / 10_000

// measures returns all of them.
func measures() []measure {
	return []measure{
		{"rss", "Resident memory", 1 << 20, "MiB", func(m Moment) float64 { return m.RSS }, 128, "128 bytes"},
		{"heap", "Live heap", 1 << 20, "MiB", func(m Moment) float64 { return m.Heap }, 64, "64 bytes"},
		{"goroutines", "Goroutines", 1, "", func(m Moment) float64 { return m.Goroutines }, rare, "one in 10,000"},
		{"files", "Open files", 1, "", func(m Moment) float64 { return m.Files }, rare, "one in 10,000"},
	}
}

// settled is the share of a soak at its start that does not count: tables grow to their size, and
// pools fill.
const settled = 0.25

// profileName is the name of a soak in the results.
const profileName = "soak"

// New returns a result with its trends.
func New(set *results.Set, c Config, f results.Figures, moments []Moment, failed error) (*Result, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sample := results.Sample{Profile: profileName, Peer: "sala", Run: 1, Seconds: set.Duration.Seconds(), Figures: f}
	if failed != nil {
		sample.Error = failed.Error()
	}
	set.Profiles, set.Samples = []results.Profile{{Name: profileName, Runs: 1, Config: config}}, []results.Sample{sample}
	r := &Result{Set: set, Moments: moments, Trends: make(map[string]Trend), config: c}
	late := r.late()
	seconds := make([]float64, len(late))
	for i, m := range late {
		seconds[i] = m.Seconds
	}
	for _, m := range measures() {
		values := make([]float64, len(late))
		for i, moment := range late {
			values[i] = m.value(moment)
		}
		r.Trends[m.name] = trendOf(seconds, values)
	}
	return r, nil
}

// Load reads a file that [Result.Save] wrote.
func Load(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	return &r, json.Unmarshal(r.Profiles[0].Config, &r.config)
}

// late returns the moments that count.
func (r *Result) late() []Moment {
	if len(r.Moments) == 0 {
		return nil
	}
	begin := settled * r.Moments[len(r.Moments)-1].Seconds
	for i, m := range r.Moments {
		if m.Seconds >= begin {
			return r.Moments[i:]
		}
	}
	return nil
}

// sample returns what was counted.
func (r *Result) sample() results.Sample {
	return r.Samples[0]
}

// visitsPerHour is how many clients would have come and gone in an hour.
func (r *Result) visitsPerHour() float64 {
	return r.sample().Figures[figureVisits] / r.config.Duration.Hours()
}

// allowed is how much a measure may grow in an hour.
func (r *Result) allowed(m measure) float64 { return m.perVisit * r.visitsPerHour() }

// grows reports whether a measure grows: its slope exceeds what is allowed by more than chance. A
// smoke test cannot tell.
func (r *Result) grows(m measure) bool {
	t := r.Trends[m.name]
	return !r.Quick && t.Slope-t.Margin > r.allowed(m)
}

// zeros returns the figures that must be 0.
func zeros() []scenario.Limit {
	return []scenario.Limit{
		scenario.Zero(scenario.Missing, "messages that clients missed"),
		scenario.Zero(scenario.Disorder, "messages that came twice, or after a later one"),
		scenario.Zero(scenario.Gone, "clients that lost their connection"),
		scenario.Zero(scenario.Unanswered, "events of clients without an answer"),
		scenario.Zero(scenario.ErrorAnswers, "events answered with an error, although there was a backend throughout"),
		scenario.Zero(scenario.UnexpectedAcks, "answers that no client waited for"),
		scenario.Zero(scenario.Faulty, "log lines that report a failure of the broker itself"),
	}
}

// Failures describes what is wrong.
func (r *Result) Failures() []string {
	if s := r.sample(); s.Error != "" {
		return []string{s.Error}
	}
	var failures []string
	for _, m := range measures() {
		if r.grows(m) {
			failures = append(failures, m.title+" grows")
		}
	}
	for _, n := range zeros() {
		if value := r.sample().Figures[n.Figure]; value > 0 {
			failures = append(failures, fmt.Sprintf("%s: %.0f", n.What, value))
		}
	}
	return failures
}

// Save writes the result to a file.
func (r *Result) Save(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
