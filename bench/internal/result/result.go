// Package result holds what a run of the benchmarks has measured, as it is kept in a file, and the medians and ratios
// that are read from it.
package result

import (
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// Set is one run of the benchmarks.
type Set struct {
	Date time.Time `json:"date"`
	// Quick says that it was a smoke test, whose figures mean nothing.
	Quick       bool          `json:"quick,omitempty"`
	Duration    time.Duration `json:"duration"`
	Environment Environment   `json:"environment"`
	Profiles    []Profile     `json:"profiles"`
	Samples     []Sample      `json:"samples"`
}

// Environment is what the benchmarks ran on.
type Environment struct {
	CPU       string  `json:"cpu"`
	Cores     int     `json:"cores"`
	MemoryMiB int64   `json:"memoryMiB"`
	System    string  `json:"system"`
	Kernel    string  `json:"kernel"`
	Load      float64 `json:"load"` // the load average before the first measurement
	// Versions are those of the servers and of what they run on, by name.
	Versions map[string]string `json:"versions"`
}

// Profile is what was asked of the servers.
type Profile struct {
	Name string  `json:"name"`
	Runs int     `json:"runs"`
	Job  job.Job `json:"job"`
	// Args are given to Sala beside what it always gets.
	Args []string `json:"args,omitempty"`
}

// Sample is one measurement of one server.
type Sample struct {
	Profile string      `json:"profile"`
	Peer    string      `json:"peer"`
	Run     int         `json:"run"` // from 1
	Seconds float64     `json:"seconds"`
	Figures job.Figures `json:"figures,omitempty"`
	Error   string      `json:"error,omitempty"`
}

// Profile returns a profile by its name, ok being false if the run hasn't got it.
func (s *Set) Profile(name string) (p Profile, ok bool) {
	i := slices.IndexFunc(s.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return s.Profiles[i], true
}

// Failed returns the samples without a result.
func (s *Set) Failed() []Sample {
	var failed []Sample
	for _, sample := range s.Samples {
		if sample.Error != "" {
			failed = append(failed, sample)
		}
	}
	return failed
}

// Save writes the set to a file.
func (s *Set) Save(path string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Load reads a file that [Set.Save] has written.
func Load(path string) (*Set, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s Set
	return &s, json.Unmarshal(text, &s)
}
