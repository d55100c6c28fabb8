package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// Config configures [Run].
type Config struct {
	// Binary is the binary of Sala.
	Binary string
	// Logs is the folder for the servers' output.
	Logs string
	// Quick runs the small configurations.
	Quick bool
	// Only are the names of the scenarios to run; empty for all.
	Only []string
	// Progress gets a line for each scenario.
	Progress io.Writer
}

// Run runs scenarios one after the other, each with servers of its own. A scenario that fails is a
// sample with an error; Run itself fails only if it cannot go on.
func Run(ctx context.Context, c Config, all []New) (*results.Set, error) {
	scenarios := list(all, c.Quick)
	for _, name := range c.Only {
		if !slices.ContainsFunc(scenarios, func(s Scenario) bool { return s.Info().Name == name }) {
			return nil, fmt.Errorf("there is no scenario called %q", name)
		}
	}
	begin := time.Now()
	environment, err := results.NewEnvironment(ctx, c.Binary, true)
	if err != nil {
		return nil, err
	}
	set := &results.Set{Date: begin.UTC(), Quick: c.Quick, Environment: environment}
	for _, s := range scenarios {
		if ctx.Err() != nil {
			break
		}
		info := s.Info()
		if len(c.Only) > 0 && !slices.Contains(c.Only, info.Name) {
			continue
		}
		sample := runOne(ctx, c, s, info.Name)
		config, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		set.Profiles = append(set.Profiles, results.Profile{Name: info.Name, Runs: 1, Config: config})
		set.Samples = append(set.Samples, sample)
		fmt.Fprintf(c.Progress, "%-20s %5.1f s  %s\n", info.Name, sample.Seconds, info.verdict(sample))
	}
	set.Duration = time.Since(begin).Round(time.Second)
	return set, context.Cause(ctx)
}

func runOne(ctx context.Context, c Config, s Scenario, name string) results.Sample {
	env := &Env{name: name, sala: process.NewSala(c.Binary, c.Logs), Timeout: time.Minute, Pause: 500 * time.Millisecond}
	deadline := 25 * time.Minute
	if c.Quick {
		env.Timeout, env.Pause, deadline = 30*time.Second, 100*time.Millisecond, time.Minute
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("it took longer than %v", deadline))
	defer cancel()
	figures, err := s.Run(ctx, env)
	if ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	err = errors.Join(err, env.close())
	sample := results.Sample{Profile: name, Peer: "sala", Run: 1, Seconds: time.Since(begin).Seconds(), Figures: figures}
	if err != nil {
		sample.Error = err.Error()
	}
	return sample
}
