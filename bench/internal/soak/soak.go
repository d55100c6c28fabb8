// Package soak judges what a server took while clients came and went for long, and writes the page about it.
package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/runner"
)

// Result is one soak, as it is kept in a file.
type Result struct {
	*result.Set
	Moments []job.Moment     `json:"moments"`
	Trends  map[string]Trend `json:"trends"`
}

// measure is something that must not grow.
type measure struct {
	name   string // in the file
	title  string
	unit   float64 // in which it is told
	inUnit string
	value  func(job.Moment) float64
	// perVisit is how much of it one client that came and went may leave behind for good.
	perVisit float64
	what     string // that is, in words
}

// One visit in 10,000 that leaves a goroutine or a file behind would be a leak.
const rare = 1.0 / 10_000

var measures = []measure{
	{"rss", "Resident memory", 1 << 20, "MiB", func(m job.Moment) float64 { return m.RSS }, 128, "128 bytes"},
	{"heap", "Live heap", 1 << 20, "MiB", func(m job.Moment) float64 { return m.Heap }, 64, "64 bytes"},
	{"goroutines", "Goroutines", 1, "", func(m job.Moment) float64 { return m.Goroutines }, rare, "one in 10,000"},
	{"files", "Open files", 1, "", func(m job.Moment) float64 { return m.Files }, rare, "one in 10,000"},
}

// settled is the share of a soak at its beginning that isn't looked at: tables grow to their size, pools fill.
const settled = 0.25

// New returns a result with its trends.
func New(set *result.Set, moments []job.Moment) *Result {
	r := &Result{Set: set, Moments: moments, Trends: make(map[string]Trend)}
	late := r.late()
	seconds := make([]float64, len(late))
	for i, m := range late {
		seconds[i] = m.Seconds
	}
	for _, m := range measures {
		values := make([]float64, len(late))
		for i, moment := range late {
			values[i] = m.value(moment)
		}
		r.Trends[m.name] = trendOf(seconds, values)
	}
	return r
}

// late returns the moments that are looked at.
func (r *Result) late() []job.Moment {
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
func (r *Result) sample() result.Sample {
	for _, s := range r.Samples {
		return s
	}
	return result.Sample{Error: "there is no result"}
}

// visitsPerHour is how many clients would have come and gone in an hour.
func (r *Result) visitsPerHour() float64 {
	profile, ok := r.Profile(runner.Soak)
	if !ok {
		return 0
	}
	return r.sample().Figures[job.Visits] / profile.Job.Duration.Hours()
}

// allowed is how much a measure may grow in an hour.
func (r *Result) allowed(m measure) float64 { return m.perVisit * r.visitsPerHour() }

// grows reports whether a measure grows: the slope is above what is allowed, and not by chance alone. A smoke test can't tell.
func (r *Result) grows(m measure) bool {
	t := r.Trends[m.name]
	return !r.Quick && t.Slope-t.Margin > r.allowed(m)
}

// none are figures that must be 0.
var none = []struct{ figure, what string }{
	{job.Missing, "messages that clients missed"},
	{job.Disorder, "messages that came twice, or behind a later one"},
	{job.Gone, "clients that lost their connection"},
	{job.Unanswered, "events of clients without an answer"},
	{job.OtherCodes, "events answered with an error, though there was a backend all the while"},
	{job.Stray, "answers that nobody waited for"},
	{job.Faulty, "lines of the log that say that the broker is at fault"},
}

// Failures says what is not as it must be.
func (r *Result) Failures() []string {
	if s := r.sample(); s.Error != "" {
		return []string{s.Error}
	}
	var failures []string
	for _, m := range measures {
		if r.grows(m) {
			failures = append(failures, m.title+" grows")
		}
	}
	for _, n := range none {
		if value := r.sample().Figures[n.figure]; value > 0 {
			failures = append(failures, fmt.Sprintf("%s: %.0f", n.what, value))
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

// Describe says in a line how a server is.
func Describe(m job.Moment) string {
	return fmt.Sprintf("%6v  %6.1f MiB resident  %5.1f MiB live heap  %4.0f goroutines  %4.0f files",
		time.Duration(m.Seconds*float64(time.Second)).Round(time.Second), m.RSS/(1<<20), m.Heap/(1<<20), m.Goroutines, m.Files)
}
