// Package runner starts one server after the other, gives each to the load generator, and collects what that has
// measured. Every server is fresh; the servers take turns, so that what else happens on the machine meets all of them.
package runner

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/result"
	"github.com/salabroker/sala/bench/internal/server"
)

// Config configures a [Runner].
type Config struct {
	// Home is the folder of the benchmarks, with the built programs in bin.
	Home string
	// Sala is the product's binary.
	Sala string
	// Logs is a folder that gets the servers' output.
	Logs string
	// Peers limits which servers take part; empty means all.
	Peers []string
	// Progress gets a line for each measurement.
	Progress io.Writer
	// Describe says in short what was measured; nil means the figures that matter most.
	Describe func(result.Sample) string
	// Moment gets what a server takes at the moments of a soak; nil for none.
	Moment func(job.Moment)
}

// Runner runs a plan.
type Runner struct {
	cfg                       Config
	secret, apiKey, greedyKey string // of Sala, made up for this run

	mu      sync.Mutex
	samples []result.Sample
}

// New returns a runner.
func New(cfg Config) *Runner {
	if cfg.Describe == nil {
		cfg.Describe = describe
	}
	return &Runner{cfg: cfg, secret: rand.Text() + rand.Text(), apiKey: rand.Text(), greedyKey: rand.Text()}
}

// Run runs the plan. A measurement that fails is a sample with an error; Run fails only if it couldn't go on.
func (r *Runner) Run(ctx context.Context, plan Plan) (*result.Set, error) {
	begin := time.Now()
	environment, err := r.environment(ctx, plan)
	if err != nil {
		return nil, err
	}
	var holds []result.Profile
	for _, profile := range plan.Profiles {
		if profile.Job.Kind == job.Hold {
			holds = append(holds, profile)
			continue
		}
		r.takeTurns(ctx, plan, profile)
	}
	r.hold(ctx, plan, holds)
	return &result.Set{
		Date:        begin.UTC(),
		Quick:       plan.Quick,
		Duration:    time.Since(begin).Round(time.Second),
		Environment: environment,
		Profiles:    plan.Profiles,
		Samples:     r.samples,
	}, context.Cause(ctx)
}

// takeTurns runs a profile, each time beginning with another server.
func (r *Runner) takeTurns(ctx context.Context, plan Plan, profile result.Profile) {
	for run := range profile.Runs {
		for _, peer := range r.inTurn(profile.Name, run) {
			if ctx.Err() != nil {
				return
			}
			r.measure(ctx, plan, profile, peer, run+1, func() {})
		}
	}
}

// settleTogether is how many servers may wait with their clients at a time: it bounds the memory that is needed.
const settleTogether = 20

// hold runs the profiles in which nothing happens: the servers connect their clients one after the other and settle
// at the same time. A server that settles takes a few percent of a processor, for pings; nothing but memory is measured
// meanwhile, and what connecting cost the server that does it.
func (r *Runner) hold(ctx context.Context, plan Plan, profiles []result.Profile) {
	runs := 0
	for _, profile := range profiles {
		runs = max(runs, profile.Runs)
	}
	var settling sync.WaitGroup
	defer settling.Wait()
	slots := make(chan struct{}, settleTogether)
	for run := range runs {
		for _, profile := range profiles {
			for _, peer := range r.inTurn(profile.Name, run) {
				slots <- struct{}{} // each is given back, within the deadline of a measurement
				if ctx.Err() != nil || run >= profile.Runs {
					<-slots
					continue
				}
				connected, done := make(chan struct{}), make(chan struct{})
				settling.Go(func() {
					defer func() { <-slots }()
					defer close(done)
					r.measure(ctx, plan, profile, peer, run+1, func() { close(connected) })
				})
				select {
				case <-connected:
				case <-done:
				}
			}
		}
	}
}

// inTurn returns the servers of a profile in the order of one run.
func (r *Runner) inTurn(profile string, run int) []string {
	peers := slices.DeleteFunc(peersOf(profile), func(peer string) bool {
		return len(r.cfg.Peers) > 0 && !slices.Contains(r.cfg.Peers, peer)
	})
	if len(peers) == 0 {
		return nil
	}
	first := run % len(peers)
	return slices.Concat(peers[first:], peers[:first])
}

// measure makes one measurement and keeps it.
func (r *Runner) measure(ctx context.Context, plan Plan, profile result.Profile, peer string, run int, connected func()) {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, plan.Deadline, fmt.Errorf("it took longer than %v", plan.Deadline))
	defer cancel()
	figures, err := r.serveAndLoad(ctx, profile, peer, plan, connected)
	sample := result.Sample{
		Profile: profile.Name, Peer: peer, Run: run, Seconds: time.Since(begin).Seconds(), Figures: figures,
	}
	if err != nil {
		sample.Error = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, sample)
	fmt.Fprintf(r.cfg.Progress, "%-10s %d/%d  %-10s %5.1f s  %s\n", profile.Name, run, profile.Runs, peer, sample.Seconds, r.cfg.Describe(sample))
}

func (r *Runner) serveAndLoad(
	ctx context.Context, profile result.Profile, peer string, plan Plan, connected func(),
) (job.Figures, error) {
	j := profile.Job
	j.Pause, j.Patience = plan.Pause, plan.Patience
	if j.Kind.OfCluster() {
		var err error
		if j.Servers, err = r.cluster(peer, profile); err != nil {
			return nil, err
		}
		return r.load(ctx, &j, connected)
	}
	if j.Kind.Alone() {
		c, err := r.single(peer, profile)
		if err != nil {
			return nil, err
		}
		j.Servers = []job.Command{c}
		return r.load(ctx, &j, connected)
	}
	s, err := r.start(ctx, peer, profile)
	if err != nil {
		return nil, err
	}
	defer s.Stop()
	j.Target = s.Target()
	if peer == Empty {
		j.Clients, j.REST = 0, 0
	}
	figures, err := r.load(ctx, &j, connected)
	select {
	case <-s.Ended():
		err = errors.Join(err, fmt.Errorf("%s ended: %s", peer, s.Tail()))
	default:
	}
	return figures, err
}

// load runs the load generator.
func (r *Runner) load(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	input, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.binary("load"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	server.EndWithUs(cmd)
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	last := job.Note{Error: "the load generator ended without a result"}
	for lines := bufio.NewScanner(output); lines.Scan(); {
		var note job.Note
		if err := json.Unmarshal(lines.Bytes(), &note); err != nil {
			last = job.Note{Error: fmt.Sprintf("the load generator said %q: %v", lines.Text(), err)}
			continue
		}
		if note.Connected {
			connected()
			continue
		}
		if note.Moment != nil {
			r.cfg.Moment(*note.Moment)
			continue
		}
		last = note
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if last.Error != "" {
		return nil, errors.Join(errors.New(last.Error), err)
	}
	return last.Figures, err
}

// describe says in short what was measured.
func describe(sample result.Sample) string {
	if sample.Error != "" {
		return "FAILED: " + sample.Error
	}
	var text []byte
	for _, name := range []string{
		job.CPU, job.LoadCPU, job.P50, job.P99, job.UnaryCPU, job.StreamCPU, job.RESTCPU, job.RSS, job.RSSFresh, job.ConnectCPU,
		job.ConnectP99, job.Rate, job.AllBurst, job.AllPaced, job.AllScattered, job.CPUNear, job.CPUFar, job.P50More, job.P99More, job.Publishes,
	} {
		if value, ok := sample.Figures[name]; ok {
			text = fmt.Appendf(text, "%s %.3g  ", name, value)
		}
	}
	for _, name := range []string{job.Lost, job.Missing, job.Disorder, job.Rejected, job.Gone} {
		if value := sample.Figures[name]; value > 0 {
			text = fmt.Appendf(text, "%s %.0f  ", name, value)
		}
	}
	return string(text)
}
