// Package attacks holds the scenarios in which clients or callers attack a server while others use
// it: [Hostile], whose clients do what no client should, and [Shares], whose callers take as much
// as they can get.
//
//	hostile.go     clients that do what no client should
//	list.go        the attacks of such clients
//	attacker.go    carries out attacks, in a process of its own
//	shares.go      callers that take more than their share
//	greedylist.go  what they take
//	greedy.go      takes it, in a process of its own
//	burn.go        takes as much CPU time as an attacker, without an attack
//	compare.go     latencies with and without an attack
package attacks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Hostile has clients do what no client should, one attack after the other and then all at the same
// time.
type Hostile struct {
	observe.BystanderConfig
	// Rounds is how often each attack is measured, and MaxRounds how often it is measured at most
	// if it seems to slow others down.
	Rounds, MaxRounds int
}

// NewHostile returns the scenario.
func NewHostile(quick bool) scenario.Scenario {
	if quick {
		return &Hostile{observe.BystanderConfig{Clients: 200, Every: 20 * time.Millisecond, Window: 10, Warmup: 10}, 1, 1}
	}
	return &Hostile{observe.BystanderConfig{Clients: 1000, Every: 20 * time.Millisecond, Window: 40, Warmup: 100}, 5, 25}
}

// figureAllAtOnce is the ratio of p99s during all attacks at the same time.
const figureAllAtOnce = "all_p99_ratio"

// allAttacks is the name of all attacks together.
const allAttacks = "all of them at once"

// Info implements [scenario.Scenario].
func (s *Hostile) Info() scenario.Info {
	return scenario.Info{
		Name:  "hostile",
		Title: "Hostile clients",
		Description: fmt.Sprintf("%d clients are in one room, which gets %.0f messages of about 130 bytes a second. Meanwhile another process does what no "+
			"client should: one attack after the other and then all at the same time, over new connections where the server disconnects it. No "+
			"attack sends more than 1,000 times a second, since the processors are shared and the test is not about the machine. Latency is "+
			"measured alternately with and without an attack, in windows of %.1f s. While there is no attack, a process that has nothing to do "+
			"with the server takes as much CPU time, as often, as the attacker took. The ratio is that of the medians of %d windows each. Where it "+
			"is above 1.15, which may be chance, up to %d more of each are measured, and all of them count.",
			s.Clients, s.PerSecond(), s.Seconds(), s.Rounds, s.MaxRounds-s.Rounds),
		Limits: []scenario.Limit{
			{Figure: scenario.P99Ratio, Max: 1.2, What: "p99 of the other clients during the worst attack, as a ratio to without"},
			{Figure: figureAllAtOnce, Max: 1.2, What: "the same with all attacks at once"},
			{Figure: scenario.MemoryGrowth, Max: 64 << 10, What: "growth of the resident memory at any time, KiB"},
			{Figure: scenario.MoreHeap, Max: 2048, What: "live heap more than before, once it is over, KiB"},
			{Figure: scenario.MoreGoroutines, Max: observe.KeptReaders(), What: "goroutines more than before"},
			scenario.Zero(scenario.MoreFiles, "open files more than before"),
			scenario.Zero(scenario.Listed, "connections more than before"),
			scenario.Zero(scenario.Faulty, "log lines that report a failure of the broker itself"),
			scenario.Zero(scenario.Missing, "messages that other clients missed"),
			scenario.Zero(scenario.Disorder, "messages that other clients received out of order"),
			scenario.Zero(scenario.Gone, "other clients that lost their connection"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%d attacks", len(scenario.Parts(f, scenario.P99Ratio)))
		},
		Details: func(f results.Figures) string {
			var b strings.Builder
			b.WriteString("| attack | a second | KiB a second | disconnected or refused a second | server's CPU, µs each | attacker's CPU, µs each | p99 ratio |\n" +
				"|---|---:|---:|---:|---:|---:|---:|\n")
			for _, name := range scenario.Parts(f, scenario.P99Ratio) {
				of := func(figure string) float64 { return f[results.Of(figure, name)] }
				fmt.Fprintf(&b, "| %s | %.0f | %.1f | %.0f | %.1f | %.1f | %.2f |\n", name, of(scenario.Rate), of(figureBytes)/1024,
					of(scenario.Gone), of(scenario.CPU), of(scenario.LoadCPU), of(scenario.P99Ratio))
			}
			return b.String()
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Hostile) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	target, err := env.Start(ctx)
	if err != nil {
		return nil, err
	}
	o, err := observe.NewObserver(target, env.Timeout)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	b, err := observe.NewBystanders(ctx, target, s.BystanderConfig, env.Timeout)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	c := &comparison{role: attackRole, target: target, bystanders: b, scraper: o.Scraper, rounds: s.Rounds, maxRounds: s.MaxRounds}
	before, err := o.Settle(ctx, observe.Always)
	if err != nil {
		return nil, err
	}
	f = results.Figures{scenario.Clients: float64(s.Clients)}
	var names []string
	for _, a := range attacks() {
		names = append(names, a.name)
		if err := c.measure(ctx, f, a.name, 1, a.name); err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		f.Raise(scenario.P99Ratio, f[results.Of(scenario.P99Ratio, a.name)])
	}
	if err := c.measure(ctx, f, allAttacks, 2, names...); err != nil {
		return nil, fmt.Errorf("%s: %w", allAttacks, err)
	}
	f[figureAllAtOnce] = f[results.Of(scenario.P99Ratio, allAttacks)]
	after, err := o.Settle(ctx, func(m observe.Metrics) bool {
		return m[observe.Connections] <= float64(s.Clients) && m[observe.OpenFiles] <= before[observe.OpenFiles] &&
			m[observe.Goroutines] <= before[observe.Goroutines]+observe.KeptReaders()
	})
	if err != nil {
		return nil, err
	}
	f[scenario.MemoryGrowth] = max(0, c.largest-before[observe.ResidentMemory]) / 1024
	f[scenario.MoreGoroutines] = after[observe.Goroutines] - before[observe.Goroutines]
	f[scenario.MoreFiles] = after[observe.OpenFiles] - before[observe.OpenFiles]
	f[scenario.MoreHeap] = (after.LiveHeap() - before.LiveHeap()) / 1024
	f[scenario.Listed] = after[observe.Connections] - float64(s.Clients)
	b.AddTo(f)
	f[scenario.Faulty], err = target.LoggedFailures()
	return f, err
}
