// Package results keeps what a run measured: the figures, what they were measured with and on what
// machine. It reads and writes them as JSON, and takes medians and ratios over repeated runs.
package results

import (
	"encoding/json"
	"os"
	"slices"
	"time"
)

// Figures are measured values by name.
type Figures map[string]float64

// Of returns the name of a figure for one part of what was measured, such as one attack of several.
func Of(figure, part string) string { return figure + " of " + part }

// Raise sets a figure to a value if that is larger.
func (f Figures) Raise(figure string, value float64) { f[figure] = max(f[figure], value) }

// Set is one run of benchmarks or of scenarios.
type Set struct {
	Date time.Time `json:"date"`
	// Quick says that this was a smoke test, whose figures mean nothing.
	Quick       bool          `json:"quick,omitempty"`
	Duration    time.Duration `json:"duration"`
	Environment Environment   `json:"environment"`
	Profiles    []Profile     `json:"profiles"`
	Samples     []Sample      `json:"samples"`
}

// Profile is one benchmark or scenario with its configuration.
type Profile struct {
	Name   string          `json:"name"`
	Runs   int             `json:"runs"`
	Config json.RawMessage `json:"config"` // of the benchmark's or scenario's own type
}

// Sample is one measurement of one server.
type Sample struct {
	Profile string  `json:"profile"`
	Peer    string  `json:"peer"` // the server
	Run     int     `json:"run"`  // from 1
	Seconds float64 `json:"seconds"`
	Figures Figures `json:"figures,omitempty"`
	Error   string  `json:"error,omitempty"`
	// Busy is the share of the processors that others used just before, and Stolen the share that
	// the host of a virtual machine took meanwhile; from 0 to 1, both 0 if nobody has looked.
	Busy   float64 `json:"busy,omitempty"`
	Stolen float64 `json:"stolen,omitempty"`
}

// Profile returns the profile of that name. It reports false if there is none.
func (s *Set) Profile(name string) (p Profile, ok bool) {
	i := slices.IndexFunc(s.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return s.Profiles[i], true
}

// Disturbance returns how busy others kept the machine before the measurements, and how much of it
// was stolen during them, over all that looked.
func (s *Set) Disturbance() (busy, stolen Spread) {
	var before, during []float64
	for _, sample := range s.Samples {
		before, during = append(before, sample.Busy), append(during, sample.Stolen)
	}
	return newSpread(before), newSpread(during)
}

// Failed returns the samples that have an error.
func (s *Set) Failed() []Sample {
	var failed []Sample
	for _, sample := range s.Samples {
		if sample.Error != "" {
			failed = append(failed, sample)
		}
	}
	return failed
}

// Save writes the set to a file, as JSON.
func (s *Set) Save(path string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Load reads a file that [Set.Save] wrote.
func Load(path string) (*Set, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s Set
	return &s, json.Unmarshal(text, &s)
}
