package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/attacks"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Config configures a soak.
type Config struct {
	// Watchers is how many clients stay throughout and check what they receive.
	Watchers int
	// Visitors is how many clients come and go.
	Visitors int
	Duration time.Duration
	// Timeout is how long a client that does not read may stay connected.
	Timeout time.Duration
	// Args are the server's further arguments.
	Args []string
}

// NewConfig returns the configuration of a soak of some duration.
func NewConfig(d time.Duration) Config {
	return Config{Watchers: 200, Visitors: 500, Duration: d, Timeout: time.Minute, Args: []string{"--ping-interval", "15s", "--ping-timeout", "3s"}}
}

// Figures of a soak: how often each thing was done.
const (
	figureEmitted    = "emitted"
	figureVisits     = "visits"
	figureStalled    = "stayed" // clients that stopped reading until they were disconnected
	figureAttacks    = "attacks"
	figureSubscribes = "subscribes"
	figureChanges    = "changes" // of membership
	figureRevoked    = "revocations"
	figureAckEmits   = "questions" // emits that wait for clients' acks
	figureFreezes    = "freezes"
)

const (
	// sampleEvery is how often the server's resources are sampled.
	sampleEvery = 5 * time.Second
	// progressEvery is after how many samples progress is reported.
	progressEvery = 6
	// settleTimeout is how long what was begun may take to finish.
	settleTimeout = 10 * time.Second
)

// run is a running soak: clients that stay and watch, and actors that each repeat one thing.
type run struct {
	Config
	*observe.Observer
	target   *process.Target
	dialer   *load.Dialer
	slow     *load.Dialer  // of clients that do not read
	hostile  *load.Dialer  // of attackers
	visitors []load.Client // clients that come and go
	watchers *observe.Watchers
	actors   sync.WaitGroup
	fail     context.CancelCauseFunc

	mu      sync.Mutex
	figures results.Figures
}

// Run soaks a server and returns what was counted and sampled. Progress gets a line now and then.
func Run(ctx context.Context, c Config, sala *process.Sala, progress io.Writer) (f results.Figures, samples []Moment, err error) {
	command, err := sala.Single("soak", c.Args...)
	if err != nil {
		return nil, nil, err
	}
	server, err := process.Start(ctx, &command)
	if err != nil {
		return nil, nil, err
	}
	defer server.Stop()
	r := &run{Config: c, target: server.Target(), figures: results.Figures{}}
	if err := r.prepare(ctx); err != nil {
		return nil, nil, err
	}
	defer r.Close()
	defer r.watchers.Close()
	backend, err := load.NewBackend(ctx, r.target) // so that there always is one
	if err != nil {
		return nil, nil, err
	}
	samples, err = r.act(ctx, progress)
	if err = errors.Join(err, server.Err(), backend.Close()); err != nil {
		return nil, samples, err
	}
	for _, example := range r.watchers.AddTo(r.figures) {
		slog.Warn("soak: " + example)
	}
	r.figures[scenario.Faulty], err = r.target.LoggedFailures()
	return r.figures, samples, err
}

// prepare connects the watchers.
func (r *run) prepare(ctx context.Context) (err error) {
	for _, d := range []**load.Dialer{&r.dialer, &r.slow, &r.hostile} {
		if *d, err = load.NewDialer(r.target.Listen); err != nil {
			return err
		}
	}
	r.slow.Slow, r.hostile.Subnet = true, attacks.HostileSubnet
	if r.visitors, err = load.NewClients(ctx, r.target, r.Visitors, load.InRooms(visitorsRoom)); err != nil {
		return err
	}
	if r.Observer, err = observe.NewObserver(r.target, r.Timeout); err != nil {
		return err
	}
	if r.watchers, err = observe.NewWatchers(ctx, r.target, r.Watchers); err != nil {
		r.Close()
	}
	return err
}

// act runs all actors for the duration of the soak.
func (r *run) act(ctx context.Context, progress io.Writer) (samples []Moment, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r.fail = fail
	acting, stop := context.WithCancel(ctx)
	defer stop()
	r.startActors(acting, ctx)
	for begin := time.Now(); time.Since(begin) < r.Duration && ctx.Err() == nil; {
		m, err := r.sample(ctx)
		if err != nil {
			fail(err)
			break
		}
		m.Seconds = time.Since(begin).Seconds()
		if len(samples)%progressEvery == 0 {
			fmt.Fprintln(progress, m)
		}
		samples = append(samples, m)
		_ = load.Sleep(ctx, sampleEvery) // the loop checks ctx
	}
	stop()
	r.actors.Wait()
	if err := context.Cause(ctx); err != nil {
		return samples, err
	}
	return samples, r.watchers.Settle(ctx, settleTimeout)
}

// sample returns the server's resources now.
func (r *run) sample(ctx context.Context) (Moment, error) {
	m, err := r.Read(ctx)
	if err != nil {
		return Moment{}, err
	}
	rss, err := process.RSS(r.target.PID)
	return Moment{RSS: float64(rss), Heap: m.LiveHeap(), Goroutines: m[observe.Goroutines], Files: m[observe.OpenFiles]}, err
}

// repeat does something again and again, about as often as every says, until ctx ends. An error ends the
// soak.
func (r *run) repeat(ctx context.Context, figure string, every time.Duration, do func() error) {
	r.actors.Go(func() {
		for load.Sleep(ctx, time.Duration(float64(every)*(0.5+rand.Float64()))) == nil {
			if err := do(); err != nil {
				r.fail(fmt.Errorf("%s: %w", figure, err))
				return
			}
			r.count(figure)
		}
	})
}

func (r *run) count(figure string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.figures[figure]++
}
