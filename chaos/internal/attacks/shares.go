package attacks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Shares has one API key, or one address, take as much as it can get, while another key and
// ordinary clients use the server.
type Shares struct {
	observe.BystanderConfig
	// Rounds is how often each way to take more is measured, and MaxRounds how often it is measured
	// at most if it seems to slow others down.
	Rounds, MaxRounds int
	// MemoryLimit is the server's memory limit in bytes.
	MemoryLimit int
}

// NewShares returns the scenario.
func NewShares(quick bool) scenario.Scenario {
	const memoryLimit = 500_000_000
	if quick {
		return &Shares{observe.BystanderConfig{Clients: 200, Every: 20 * time.Millisecond, Window: 30, Warmup: 10}, 1, 1, memoryLimit}
	}
	return &Shares{observe.BystanderConfig{Clients: 1000, Every: 20 * time.Millisecond, Window: 60, Warmup: 100}, 3, 5, memoryLimit}
}

// Figures of [Shares].
const (
	figureResident    = "resident_mib" // largest resident memory of the server, MiB
	figureProbes      = "probes"
	figureProbesLost  = "probes_lost" // probes without an answer
	figureCallsDenied = "calls_lost"  // calls of the other key that failed
)

// Info implements [scenario.Scenario].
func (s *Shares) Info() scenario.Info {
	return scenario.Info{
		Name:  "shares",
		Title: "More than a fair share",
		Description: fmt.Sprintf("%d clients are in one room, which gets %.0f messages a second from one API key. Meanwhile another key, or clients and "+
			"callers without a key from a single address, take as much as they can get of what all share: memory, connections, streams, "+
			"subscriptions, answers. The server has a memory limit of %d MB. Latency is measured alternately with and without each of them, in "+
			"windows of %.1f s. In the windows without, a process that has nothing to do with the server takes as much CPU time. The ratio is that "+
			"of the medians of %d to %d windows each. Throughout, `/livez` and the health service are probed as an orchestrator probes them, each "+
			"time over a new connection and for at most a second, and the first key emits over REST.",
			s.Clients, s.PerSecond(), s.MemoryLimit/1_000_000, s.Seconds(), s.Rounds, s.MaxRounds),
		Limits: []scenario.Limit{
			{Figure: scenario.P99Ratio, Max: 1.2, What: "p99 of the other clients in the worst case, as a ratio to without"},
			{Figure: figureResident, Max: float64(s.MemoryLimit >> 20), What: "resident memory at any time, MiB"},
			scenario.Zero(figureProbesLost, "probes that were not answered"),
			scenario.Zero(figureCallsDenied, "calls of the other key that were refused or not answered"),
			scenario.Zero(scenario.Faulty, "log lines that report a failure of the broker itself"),
			scenario.Zero(scenario.Missing, "messages that other clients missed"),
			scenario.Zero(scenario.Disorder, "messages that other clients received out of order"),
			scenario.Zero(scenario.Gone, "other clients that lost their connection"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%d ways to take more, %.0f probes", len(scenario.Parts(f, scenario.P99Ratio)), f[figureProbes])
		},
		Details: func(f results.Figures) string {
			var b strings.Builder
			b.WriteString("| what is taken | attempts a second | refused or ended a second | server's CPU, µs each | memory, MiB | probes lost | calls lost | p99 ratio |\n" +
				"|---|---:|---:|---:|---:|---:|---:|---:|\n")
			for _, name := range scenario.Parts(f, scenario.P99Ratio) {
				of := func(figure string) float64 { return f[results.Of(figure, name)] }
				fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.1f | %.0f | %.0f | %.0f | %.2f |\n", name, of(scenario.Rate), of(scenario.Gone),
					of(scenario.CPU), of(figureResident), of(figureProbesLost), of(figureCallsDenied), of(scenario.P99Ratio))
			}
			return b.String()
		},
	}
}

// Run implements [scenario.Scenario]. The addresses of ordinary clients are exempt from limits for
// an address.
func (s *Shares) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	dir, err := os.MkdirTemp("", "sala-faults-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := filepath.Join(dir, "sala.yaml")
	if err := os.WriteFile(config, []byte(historyRule()), 0o600); err != nil {
		return nil, err
	}
	target, err := env.Start(ctx, "--config", config, "--memory-limit-bytes", strconv.Itoa(s.MemoryLimit), "--limit-exempt", "127.0.0.0/24")
	if err != nil {
		return nil, err
	}
	if err := fillHistory(ctx, target); err != nil {
		return nil, err
	}
	b, err := observe.NewBystanders(ctx, target, s.BystanderConfig, env.Timeout)
	if err != nil {
		return nil, err
	}
	scraper := observe.NewScraper(target)
	defer scraper.Close()
	c := &comparison{role: greedyRole, target: target, bystanders: b, scraper: scraper, rounds: s.Rounds, maxRounds: s.MaxRounds}
	probing, stop := context.WithCancel(ctx)
	p := startProbes(probing, target)
	f, err := s.measure(ctx, c, p)
	stop()
	p.running.Wait()
	closeErr := b.Close()
	if err != nil {
		return nil, errors.Join(err, p.lastError)
	}
	if closeErr != nil { // the server refused one of the messages
		f[figureCallsDenied]++
	}
	b.AddTo(f)
	f[scenario.Faulty], err = target.LoggedFailures()
	return f, err
}

func (s *Shares) measure(ctx context.Context, c *comparison, p *probes) (results.Figures, error) {
	f := results.Figures{scenario.Clients: float64(s.Clients)}
	for _, g := range greedyCallers() {
		if err := c.measure(ctx, f, g.name, 1, g.name); err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		f.Raise(scenario.P99Ratio, f[results.Of(scenario.P99Ratio, g.name)])
		p.addTo(f, g.name)
	}
	return f, nil
}

const (
	// probeEvery is how often the server is probed, and how often the other key emits.
	probeEvery = 100 * time.Millisecond
	// probeTimeout is how long an answer may take, as for an orchestrator's probes.
	probeTimeout = time.Second
)

// probes probe a server, call it with the other key and read its memory, until their context ends.
type probes struct {
	target  *process.Target
	running sync.WaitGroup

	mu                  sync.Mutex
	made, lost, refused int   // since the last addTo
	resident            int64 // largest since then, bytes
	lastError           error
}

func startProbes(ctx context.Context, t *process.Target) *probes {
	p := &probes{target: t}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	p.repeat(ctx, &p.lost, func(ctx context.Context) error { return observe.Live(ctx, t) })
	p.repeat(ctx, &p.lost, p.checkHealth)
	p.repeat(ctx, &p.refused, func(ctx context.Context) error {
		return load.PostEmit(ctx, client, t, "nobody", []byte("1"))
	})
	p.running.Go(func() {
		for load.Sleep(ctx, probeEvery/5) == nil {
			rss, err := process.RSS(t.PID)
			p.mu.Lock()
			p.resident = max(p.resident, rss)
			p.lastError = errors.Join(p.lastError, err)
			p.mu.Unlock()
		}
	})
	return p
}

// repeat calls something that must succeed, and counts its failures.
func (p *probes) repeat(ctx context.Context, failures *int, call func(context.Context) error) {
	p.running.Go(func() {
		for load.Sleep(ctx, probeEvery) == nil {
			within, cancel := context.WithTimeout(ctx, probeTimeout)
			err := call(within)
			cancel()
			if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.made++
			if err != nil {
				*failures++
				p.lastError = err
			}
			p.mu.Unlock()
		}
	})
}

func (p *probes) checkHealth(ctx context.Context) error {
	conn, err := p.target.DialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err == nil && answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("the health service says %s", answer.GetStatus())
	}
	return err
}

// addTo adds what happened since it was last called, under a name and in all.
func (p *probes) addTo(f results.Figures, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	resident := float64(p.resident) / (1 << 20)
	f[results.Of(figureResident, name)] = resident
	f.Raise(figureResident, resident)
	for figure, n := range map[string]*int{figureProbes: &p.made, figureProbesLost: &p.lost, figureCallsDenied: &p.refused} {
		f[results.Of(figure, name)] = float64(*n)
		f[figure] += float64(*n)
		*n = 0
	}
	p.resident = 0
}
