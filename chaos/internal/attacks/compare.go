package attacks

import (
	"context"
	"errors"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Figures of the processes that attack.
const (
	figureAttempts = "blows" // things sent that no client should send, or things taken
	figureBytes    = "bytes" // of these
)

// suspicious is the ratio of p99s above which an attack is measured again, since another process
// may have caused it.
const suspicious = 1.15

// childStart is how long a child may take to start.
const childStart = time.Minute

// attackConfig configures a process that attacks.
type attackConfig struct {
	Target process.Target
	// Attacks are the names of the attacks.
	Attacks []string
}

// comparison compares latencies of bystanders with and without attacks.
type comparison struct {
	role              string // of the processes that attack
	target            *process.Target
	bystanders        *observe.Bystanders
	scraper           *observe.Scraper
	rounds, maxRounds int

	largest float64 // resident memory, bytes
}

// measure measures one attack, or several at once, and adds figures under a name. It alternates
// windows with and without the attack, so that whatever else happens on the machine affects both
// alike. If the attack seems to slow the bystanders down, it measures again, and all windows count.
func (c *comparison) measure(ctx context.Context, f results.Figures, name string, windows int, attacks ...string) error {
	var without, with []float64
	total := results.Figures{}
	for round := 0; round < c.rounds || round < c.maxRounds && observe.Median(with)/observe.Median(without) > suspicious; round++ {
		w, attacked, figures, err := c.attacked(ctx, windows, attacks)
		if err != nil {
			return err
		}
		q, idle, err := c.unattacked(ctx, windows, figures)
		if err != nil {
			return err
		}
		without, with = append(without, q), append(with, w)
		for figure, value := range figures {
			total[figure] += value
		}
		total[scenario.CPU] += load.Micros(attacked - idle)
	}
	seconds, attempts := total[scenario.Seconds], max(1, total[figureAttempts])
	per := results.Figures{
		scenario.P99Ratio: observe.Median(with) / observe.Median(without),
		scenario.P99:      observe.Median(with),
		scenario.Rate:     total[figureAttempts] / seconds,
		figureBytes:       total[figureBytes] / seconds,
		scenario.Gone:     (total[scenario.Gone] + total[scenario.Refused]) / seconds,
		scenario.CPU:      max(0, total[scenario.CPU]) / attempts,
		scenario.LoadCPU:  total[scenario.LoadCPU] / attempts,
	}
	for figure, value := range per {
		f[results.Of(figure, name)] = value
	}
	return nil
}

// attacked measures while another process attacks.
func (c *comparison) attacked(ctx context.Context, windows int, attacks []string) (p99 float64, cpu time.Duration, f results.Figures, err error) {
	p99, cpu, f, err = c.beside(ctx, windows, c.role, attackConfig{Target: *c.target, Attacks: attacks})
	if err != nil {
		return 0, 0, nil, err
	}
	m, err := c.scraper.Read(ctx)
	c.largest = max(c.largest, m[observe.ResidentMemory])
	return p99, cpu, f, err
}

// unattacked measures while another process takes as much of the machine as the attacker did. The
// ratio to that is what the server suffers from the attack.
func (c *comparison) unattacked(ctx context.Context, windows int, attacker results.Figures) (p99 float64, cpu time.Duration, err error) {
	p99, cpu, _, err = c.beside(ctx, windows, burnRole, newBurnConfig(attacker))
	return p99, cpu, err
}

// beside measures while a child runs: the bystanders' p99 in ms, the server's CPU time, and the
// child's result.
func (c *comparison) beside(ctx context.Context, windows int, role string, config any) (p99 float64, cpu time.Duration, f results.Figures, err error) {
	child, err := process.StartChild(ctx, role, config, nil)
	if err != nil {
		return 0, 0, nil, err
	}
	if err := child.AwaitReady(childStart); err != nil {
		return 0, 0, nil, err
	}
	before, err := process.CPU(c.target.PID)
	if err == nil {
		p99, err = c.bystanders.Measure(ctx, windows)
	}
	after, cpuErr := process.CPU(c.target.PID)
	err = errors.Join(err, cpuErr, child.Stop(&f))
	return p99, after - before, f, err
}
