package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// Config configures a [Runner].
type Config struct {
	// Home is the folder bench/, with the built programs in bin.
	Home string
	// Sala is the binary of Sala.
	Sala string
	// Logs is the folder for the servers' output.
	Logs string
	// Peers are the servers to compare; empty for all.
	Peers []string
	// Progress gets a line for each measurement.
	Progress io.Writer
}

// Runner runs a plan. Every server is fresh, and the servers take turns, so that whatever else
// happens on the machine affects all of them.
type Runner struct {
	cfg  Config
	sala *process.Sala
	ring error // why the kernel refuses io_uring; nil if it doesn't

	mu      sync.Mutex
	samples []results.Sample
}

// NewRunner returns a runner.
func NewRunner(cfg Config) *Runner {
	return &Runner{cfg: cfg, sala: process.NewSala(cfg.Sala, cfg.Logs), ring: probeRing()}
}

// Run runs the plan. A measurement that fails is a sample with an error; Run itself fails only if
// it cannot go on.
func (r *Runner) Run(ctx context.Context, plan Plan) (*results.Set, error) {
	begin := time.Now()
	environment, err := r.environment(ctx, plan)
	if err != nil {
		return nil, err
	}
	set := &results.Set{Date: begin.UTC(), Quick: plan.Quick, Environment: environment}
	var holds []Profile
	for _, profile := range plan.Profiles {
		config, err := json.Marshal(profile.Benchmark)
		if err != nil {
			return nil, err
		}
		set.Profiles = append(set.Profiles, results.Profile{Name: profile.Name, Runs: profile.Runs, Config: config})
		if _, ok := profile.Benchmark.(Hold); ok {
			holds = append(holds, profile)
			continue
		}
		r.takeTurns(ctx, plan, profile)
	}
	r.hold(ctx, plan, holds)
	set.Samples, set.Duration = r.samples, time.Since(begin).Round(time.Second)
	return set, context.Cause(ctx)
}

// takeTurns runs a profile, each time starting with another server.
func (r *Runner) takeTurns(ctx context.Context, plan Plan, profile Profile) {
	for run := range profile.Runs {
		for _, peer := range r.inTurn(profile.Name, run) {
			if ctx.Err() != nil {
				return
			}
			r.keep(profile, r.watched(ctx, plan.Pause, func() results.Sample {
				return r.measure(ctx, plan, profile, peer, run+1, func() {})
			}))
		}
	}
}

// watched measures, and adds to the sample whether the machine was busy with something else before
// and how much of it was stolen meanwhile.
func (r *Runner) watched(ctx context.Context, pause time.Duration, measure func() results.Sample) results.Sample {
	before, err := process.ReadMachineTime()
	failed := errors.Join(err, load.Sleep(ctx, pause))
	begin, err := process.ReadMachineTime()
	failed = errors.Join(failed, err)
	sample := measure()
	end, err := process.ReadMachineTime()
	if errors.Join(failed, err) == nil {
		sample.Busy, _ = begin.Since(before)
		_, sample.Stolen = end.Since(begin)
	}
	return sample
}

// maxSettling is how many servers may wait with their clients at a time, which bounds the memory
// that is needed.
const maxSettling = 20

// hold runs the profiles in which nothing happens: one server after the other connects its clients,
// and all settle at the same time. A settling server takes a few percent of a processor for pings.
// Meanwhile only memory is measured, and what connecting costs the one server that does it.
func (r *Runner) hold(ctx context.Context, plan Plan, profiles []Profile) {
	runs := 0
	for _, profile := range profiles {
		runs = max(runs, profile.Runs)
	}
	var settling sync.WaitGroup
	defer settling.Wait()
	slots := make(chan struct{}, maxSettling)
	for run := range runs {
		for _, profile := range profiles {
			for _, peer := range r.inTurn(profile.Name, run) {
				slots <- struct{}{} // a slot is free within the deadline of a measurement
				if ctx.Err() != nil || run >= profile.Runs {
					<-slots
					continue
				}
				ready, done := make(chan struct{}), make(chan struct{})
				settling.Go(func() {
					defer func() { <-slots }()
					defer close(done)
					r.keep(profile, r.measure(ctx, plan, profile, peer, run+1, func() { close(ready) }))
				})
				select {
				case <-ready:
				case <-done:
				}
			}
		}
	}
}

// inTurn returns the servers of a profile in the order of one run.
func (r *Runner) inTurn(profile string, run int) []string {
	peers := slices.DeleteFunc(peersOf(profile), func(peer string) bool {
		return len(r.cfg.Peers) > 0 && !slices.Contains(r.cfg.Peers, peer) || peer == PeerRing && r.ring != nil
	})
	if slices.Contains(r.cfg.Peers, PeerSessions) {
		peers = append(peers, PeerSessions)
	}
	if len(peers) == 0 {
		return nil
	}
	first := run % len(peers)
	return slices.Concat(peers[first:], peers[:first])
}

// measure makes one measurement.
func (r *Runner) measure(ctx context.Context, plan Plan, profile Profile, peer string, run int, ready func()) results.Sample {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, plan.Deadline, fmt.Errorf("it took longer than %v", plan.Deadline))
	defer cancel()
	env := environment{Protocol: protocolOf(peer), Pause: plan.Pause, Timeout: plan.Timeout}
	name := profile.Name + "-" + peer
	var figures results.Figures
	var err error
	if cluster, ok := profile.Benchmark.(Cluster); ok {
		env.Cluster, err = process.NewCluster(name, r.cfg.Logs, func(at process.Addresses) process.Command { return r.command(peer, at) })
		if err == nil {
			figures, err = runChild(ctx, cluster, env, ready)
		}
	} else {
		figures, err = r.serveAndRun(ctx, profile.Benchmark, peer, name, env, ready)
	}
	sample := results.Sample{Profile: profile.Name, Peer: peer, Run: run, Seconds: time.Since(begin).Seconds(), Figures: figures}
	if err != nil {
		sample.Error = err.Error()
	}
	return sample
}

// keep keeps a measurement.
func (r *Runner) keep(profile Profile, sample results.Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, sample)
	fmt.Fprintf(r.cfg.Progress, "%-10s %d/%d  %-14s %5.1f s  %s\n", sample.Profile, sample.Run, profile.Runs, sample.Peer, sample.Seconds, describe(sample))
}

// serveAndRun starts a server and runs a benchmark against it.
func (r *Runner) serveAndRun(ctx context.Context, b Benchmark, peer, name string, env environment, ready func()) (results.Figures, error) {
	at, err := process.NewAddresses()
	if err != nil {
		return nil, err
	}
	command := r.command(peer, at)
	if err := command.NameAndLog(r.cfg.Logs, name); err != nil {
		return nil, err
	}
	server, err := process.Start(ctx, &command)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	env.Target = *server.Target()
	figures, err := runChild(ctx, b, env, ready)
	return figures, errors.Join(err, server.Err())
}

// runChild runs a benchmark in a process of its own: its CPU time is measured, and several of them
// hold more connections than one process may.
func runChild(ctx context.Context, b Benchmark, env environment, ready func()) (f results.Figures, err error) {
	child, err := process.StartChild(ctx, roleOf(b), order[Benchmark]{Environment: env, Benchmark: b}, nil)
	if err != nil {
		return nil, err
	}
	select {
	case <-child.Ready():
		ready()
	case <-child.Ended():
	}
	err = child.Wait(&f)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return f, err
}

// describe summarizes a sample in one line.
func describe(sample results.Sample) string {
	if sample.Error != "" {
		return "FAILED: " + sample.Error
	}
	var text []byte
	for _, name := range []string{
		CPU, LoadCPU, P50, P99, UnaryCPU, StreamCPU, RESTCPU, RSS, RSSFresh, ConnectCPU, ConnectP99, Rate,
		AllBurst, AllPaced, AllScattered, CPUNear, CPUFar, P50More, P99More, Publishes,
	} {
		if value, ok := sample.Figures[name]; ok {
			text = fmt.Appendf(text, "%s %.3g  ", name, value)
		}
	}
	for _, name := range []string{Lost, Missing, Disorder, Rejected, Gone} {
		if value := sample.Figures[name]; value > 0 {
			text = fmt.Appendf(text, "%s %.0f  ", name, value)
		}
	}
	return string(text)
}
