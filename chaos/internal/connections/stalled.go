// Package connections holds the scenarios in which clients' connections to a single server go
// wrong.
//
//	stalled.go       clients stop reading
//	abrupt.go        clients vanish
//	disconnects.go   clients are sent a message and disconnected at once
//	upgrades.go      clients upgrade to WebSocket under traffic
//	handshakes.go    many clients connect and leave
//	storm.go         most clients lose their connection and come back at the same time
//	reconnecting.go  clients that come back as stock clients do
//	terminate.go     the server gets SIGTERM under load
//	resets.go        connections are reset at random moments
//	resetclient.go   clients whose connections are reset
//	files.go         more clients connect than the server has file descriptors for
package connections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Stalled has clients stop reading while messages go to all.
type Stalled struct {
	observe.BystanderConfig
	// Stalled is how many further clients stop reading in each round.
	Stalled int
	// Windows is how many measurements are made before and during each round.
	Windows int
	Rounds  int
}

// NewStalled returns the scenario.
func NewStalled(quick bool) scenario.Scenario {
	if quick {
		return &Stalled{observe.BystanderConfig{Clients: 180, Every: 20 * time.Millisecond, Window: 50, Warmup: 10}, 20, 2, 1}
	}
	return &Stalled{observe.BystanderConfig{Clients: 900, Every: 20 * time.Millisecond, Window: 150, Warmup: 100}, 100, 2, 5}
}

// figureUncounted is for clients that the server disconnected without counting them as slow
// consumers.
const figureUncounted = "uncounted"

// Info implements [scenario.Scenario].
func (s *Stalled) Info() scenario.Info {
	return scenario.Info{
		Name:  "stalled",
		Title: "Clients that stop reading",
		Description: fmt.Sprintf("%d clients are in one room, which gets %.0f messages of about 130 bytes a second. Then %d of them stop reading from "+
			"their connections. Since the kernel alone buffers more than a megabyte for each, they are also sent larger messages: enough to fill "+
			"their queues soon, or in the last round so few that the write timeout ends the connections. Other clients stop reading in each of "+
			"%d rounds. The latency is the median over the rounds, and within a round over windows of %.0f s, before and while clients stall.",
			s.Clients+s.Stalled, s.PerSecond(), s.Stalled, s.Rounds, s.Seconds()),
		Limits: []scenario.Limit{
			{Figure: scenario.P99Ratio, Max: 1.2, What: "p99 of the other clients, as a ratio to before"},
			scenario.Zero(scenario.Stayed, "stalled clients still connected at the end"),
			scenario.Zero(figureUncounted, "stalled clients not counted as slow consumers"),
			{Figure: scenario.MemoryGrowth, Max: 1024, What: "memory growth for each stalled client, KiB (its queue may hold 1 MiB)"},
			scenario.Zero(scenario.Missing, "messages that other clients missed"),
			scenario.Zero(scenario.Disorder, "messages that other clients received out of order"),
			scenario.Zero(scenario.Gone, "other clients that lost their connection"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("p99 %.2f ms before, %.2f ms while clients stall; the last stalled client was disconnected within %.0f s",
				f[scenario.P99], f[scenario.P99During], f[scenario.Seconds])
		},
	}
}

const (
	// stalledRoom is the room of clients that will stop reading.
	stalledRoom = "stalling"
	// largeMessage and smallMessage are the sizes of the extra messages to them. The kernel buffers
	// more than a megabyte for a connection; after that, large messages fill a queue within
	// seconds, and small ones don't before the write timeout.
	largeMessage, smallMessage = 8 << 10, 1 << 10
)

// stalledRun is a run of [Stalled].
type stalledRun struct {
	*Stalled
	env        *scenario.Env
	target     *process.Target
	bystanders *observe.Bystanders
	scraper    *observe.Scraper
	counted    float64 // clients that the server has counted as slow consumers
}

// Run implements [scenario.Scenario].
func (s *Stalled) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	target, err := env.Start(ctx)
	if err != nil {
		return nil, err
	}
	r := &stalledRun{Stalled: s, env: env, target: target, scraper: observe.NewScraper(target)}
	defer r.scraper.Close()
	if r.bystanders, err = observe.NewBystanders(ctx, target, s.BystanderConfig, env.Timeout); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.bystanders.Close()) }()
	return r.measure(ctx)
}

// measure compares the time before clients stall with the time after, in each of the rounds:
// whatever else happens on the machine changes slowly enough to affect both alike.
func (r *stalledRun) measure(ctx context.Context) (results.Figures, error) {
	f := results.Figures{scenario.Clients: float64(r.Clients)}
	var before, during, ratios []float64
	for round := range r.Rounds {
		size := largeMessage
		if round > 0 && round == r.Rounds-1 {
			size = smallMessage
		}
		b, s, err := r.round(ctx, size)
		if err != nil {
			return nil, err
		}
		before, during, ratios = append(before, b), append(during, s.p99), append(ratios, s.p99/b)
		f.Raise(scenario.Seconds, s.took.Seconds())
		f.Raise(scenario.MemoryGrowth, s.growth)
		f[scenario.Stayed] += float64(s.stayed)
	}
	f[scenario.P99], f[scenario.P99During], f[scenario.P99Ratio] = observe.Median(before), observe.Median(during), observe.Median(ratios)
	f[figureUncounted] = max(0, float64(r.Rounds*r.Stalled.Stalled)-r.counted)
	r.bystanders.AddTo(f)
	return f, nil
}

// round connects clients that will stop reading, measures, stops reading, and measures again.
func (r *stalledRun) round(ctx context.Context, size int) (before float64, during stall, err error) {
	clients, err := load.NewClients(ctx, r.target, r.Stalled.Stalled, load.InRooms(load.Everyone, stalledRoom))
	if err != nil {
		return 0, during, err
	}
	pool, err := load.ConnectAll(ctx, r.target, clients, load.Options{Slow: true})
	if err != nil {
		return 0, during, err
	}
	defer pool.Close()
	p99s := make([]float64, r.Windows)
	for i := range p99s {
		if p99s[i], err = r.bystanders.Measure(ctx, 1); err != nil {
			return 0, during, err
		}
	}
	during, err = r.stall(ctx, pool, size)
	return observe.Median(p99s), during, err
}

// stall is what happened while clients did not read.
type stall struct {
	p99    float64 // of the other clients, ms
	growth float64 // of the resident memory, KiB for each stalled client
	stayed int
	took   time.Duration // until the last stalled client was disconnected
}

// stall stops reading from clients, sends them extra messages of a size, and measures until the
// server has disconnected all of them.
func (r *stalledRun) stall(ctx context.Context, pool *load.Pool, size int) (s stall, err error) {
	before, err := r.scraper.Read(ctx)
	if err != nil {
		return s, err
	}
	largest := before[observe.ResidentMemory]
	fds := pool.StopReading()
	r.bystanders.Delivery.Extra = []line.Message{{Room: stalledRoom, Payload: []byte(`"` + strings.Repeat("x", size) + `"`)}}
	defer func() { r.bystanders.Delivery.Extra = nil }()
	begin := time.Now()
	var p99s []float64
	want := r.counted + float64(r.Stalled.Stalled)
	for gone := false; len(p99s) < r.Windows || !gone && time.Since(begin) < r.env.Timeout; {
		p99, err := r.bystanders.Measure(ctx, 1)
		if err != nil {
			return s, err
		}
		p99s = append(p99s, p99)
		m, err := r.scraper.Read(ctx)
		if err != nil {
			return s, err
		}
		largest = max(largest, m[observe.ResidentMemory])
		if !gone {
			gone = m[observe.SlowConsumers] >= want && m[observe.Connections] <= float64(r.Clients)
			s.took = time.Since(begin)
		}
		r.counted = m[observe.SlowConsumers]
	}
	s.p99 = observe.Median(p99s)
	s.growth = (largest - before[observe.ResidentMemory]) / 1024 / float64(r.Stalled.Stalled)
	s.stayed, err = countOpen(ctx, fds)
	return s, err
}

// countOpen reads what is left on connections and returns how many of them the server has not
// ended.
func countOpen(ctx context.Context, fds []int) (int, error) {
	var n atomic.Int64
	err := load.InParallel(ctx, load.DefaultWindow, len(fds), func(_ context.Context, i int) error {
		if err := unix.SetNonblock(fds[i], false); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, load.FDReader(fds[i])); err != nil && !errors.Is(err, unix.ECONNRESET) {
			n.Add(1) // there was nothing to read, and no end
		}
		return nil
	})
	return int(n.Load()), err
}
