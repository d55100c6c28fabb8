// Package backends holds the scenario in which backends that answer clients' events are killed.
//
//	kill.go      the scenario
//	eventlog.go  what clients sent and what answered it
//	process.go   a backend in a process of its own
//	verdict.go   compares what clients sent with what came of it
package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Kill kills backends while clients wait for their answers.
type Kill struct {
	Clients  int
	Backends int
	// Think is how long a backend takes for an answer.
	Think time.Duration
	// Batch is how many events a client sends at a time; Batches are sent in all, one Every.
	Batch   int
	Batches int
	Every   time.Duration
	// Kills is how many times backends are killed.
	Kills int
	// Settle is how long answers may take after the last event.
	Settle time.Duration
	// Args are the server's further arguments.
	Args []string
}

// NewKill returns the scenario.
func NewKill(quick bool) scenario.Scenario {
	if quick {
		return &Kill{
			Clients: 50, Backends: 3, Think: 20 * time.Millisecond, Batch: 10, Batches: 1000, Every: 4 * time.Millisecond,
			Kills: 4, Settle: 3 * time.Second, Args: []string{"--ack-timeout", "2s"},
		}
	}
	return &Kill{
		Clients: 200, Backends: 3, Think: 20 * time.Millisecond, Batch: 10, Batches: 10_000, Every: 2 * time.Millisecond,
		Kills: 9, Settle: 6 * time.Second, Args: []string{"--ack-timeout", "5s"},
	}
}

// Figures of [Kill].
const (
	figureNoHandler     = "no_handler"       // events answered with NO_HANDLER
	figureHandlerLost   = "handler_lost"     // events answered with HANDLER_LOST
	figureOtherErrors   = "other_codes"      // events answered with another error code
	figureNeedless      = "needless_errors"  // events answered with an error although there was a backend throughout
	figureRedelivered   = "redelivered"      // events that a second backend received
	figureRepeated      = "handed_too_often" // deliveries other than the first and one redelivery to another backend
	figureMoved         = "moved"            // deliveries to another backend while the socket's own was alive
	figureBehindPercent = "behind_percent"   // how much slower than configured events were sent
)

// Info implements [scenario.Scenario].
func (s *Kill) Info() scenario.Info {
	return scenario.Info{
		Name:  "kill-backends",
		Title: "Backends that are killed",
		Description: fmt.Sprintf("%d clients together send %.0f numbered events a second, %d in a row each, all with an ack, for %.0f s, to a group of %d "+
			"backends. The backends are processes of their own that record what they receive and take %.0f ms for an answer. %d times the busiest "+
			"of them is killed (`kill -9`) while events are in flight, and replaced; every fourth time all are, so that for a moment there is "+
			"none. The server runs with `%s`, and the clients wait longer than that for answers. Each event must get exactly one answer, an error "+
			"code only if there was no backend, and each backend must receive a socket's events in order as long as it lives.",
			s.Clients, float64(s.Batch)/s.Every.Seconds(), s.Batch, float64(s.Batches)*s.Every.Seconds(), s.Backends,
			load.Millis(s.Think), s.Kills, strings.Join(s.Args, " ")),
		Limits: []scenario.Limit{
			scenario.Zero(scenario.Unanswered, "events without an answer"),
			scenario.Zero(scenario.AnsweredTwice, "events answered more than once"),
			scenario.Zero(scenario.UnexpectedAcks, "packets and deliveries that belong to no event of their client"),
			scenario.Zero(figureNeedless, "error codes although there was a backend throughout"),
			scenario.Zero(figureOtherErrors, "error codes other than NO_HANDLER and HANDLER_LOST"),
			scenario.Zero(scenario.Disorder, "events of a socket that a backend received out of order"),
			scenario.Zero(figureMoved, "events delivered to another backend while the socket's own was alive"),
			scenario.Zero(figureRepeated, "events delivered more often than once, and once again"),
			scenario.Zero(scenario.Gone, "clients that lost their connection"),
			{Figure: figureBehindPercent, Max: 5, What: "how much slower than that events were sent, percent"},
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f events at %.0f/s, %.0f kills; %.0f answered by a backend, %.0f with NO_HANDLER, %.0f with HANDLER_LOST; "+
				"%.0f redelivered; p50 %.1f ms, p99 %.1f ms", f[scenario.Asked], f[scenario.Rate], f[scenario.Kills], f[scenario.Answered],
				f[figureNoHandler], f[figureHandlerLost], f[figureRedelivered], f[scenario.P50], f[scenario.P99])
		},
	}
}

const (
	// killAllEvery is every how many kills all backends are killed, so that none is left to take
	// over.
	killAllEvery = 4
	// absence is how long there is no backend then.
	absence = 100 * time.Millisecond
)

// killRun is a run of [Kill].
type killRun struct {
	*Kill
	target *process.Target
	pool   *load.Pool
	log    *eventLog
	all    []*backendProcess // that were ever started
	alive  []*backendProcess
	gaps   []gap // in which there was no backend
	kills  int
}

// Run implements [scenario.Scenario].
func (s *Kill) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	target, err := env.Start(ctx, s.Args...)
	if err != nil {
		return nil, err
	}
	r := &killRun{Kill: s, target: target, log: newEventLog(s.Clients, s.Batch, s.Batches*s.Batch)}
	ctx, fail := context.WithCancelCause(ctx) // the backends end with it
	defer fail(nil)
	defer func() {
		for _, b := range r.alive {
			b.Kill()
		}
	}()
	if err := r.replace(ctx); err != nil {
		return nil, err
	}
	clients, err := load.NewClients(ctx, target, s.Clients, load.InRooms())
	if err != nil {
		return nil, err
	}
	if r.pool, err = load.ConnectAll(ctx, target, clients, load.Options{Receive: r.log.receive}); err != nil {
		return nil, err
	}
	took, err := r.sendAndKill(ctx, fail)
	counts, poolErr := r.pool.Counts()
	r.pool.Close() // nothing is added to the log from here
	if err := errors.Join(err, poolErr); err != nil {
		return nil, err
	}
	for _, b := range r.alive {
		if err := b.Err(); err != nil {
			return nil, err
		}
		b.Kill() // its record is complete from here
	}
	return r.judge(took, counts)
}

// judge returns the figures.
func (r *killRun) judge(took time.Duration, counts load.Counts) (results.Figures, error) {
	rate := float64(len(r.log.events)) / took.Seconds()
	f := results.Figures{
		scenario.Clients: float64(r.Clients), scenario.Kills: float64(r.kills), scenario.Gone: float64(counts.Gone), scenario.Rate: rate,
		figureBehindPercent: max(0, 100*(1-rate*r.Every.Seconds()/float64(r.Batch))),
	}
	v := verdict{log: r.log, gaps: r.gaps, backends: r.all}
	v.addTo(f)
	for _, example := range v.examples {
		slog.Warn("killed backends: " + example)
	}
	if f[figureRedelivered] == 0 {
		return f, errors.New("no event was redelivered, so the kills tested nothing")
	}
	return f, nil
}

// sendAndKill sends all events while it kills backends, and then waits for late answers. It returns
// how long sending took and calls fail with what goes wrong meanwhile.
func (r *killRun) sendAndKill(ctx context.Context, fail context.CancelCauseFunc) (took time.Duration, err error) {
	begin := time.Now()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if err := r.send(ctx); err != nil {
			fail(err)
		}
		took = time.Since(begin)
	}()
	every := time.Duration(r.Batches) * r.Every / time.Duration(r.Kills+1)
	for n := 1; n <= r.Kills && err == nil; n++ {
		if err = load.Sleep(ctx, time.Until(begin.Add(time.Duration(n)*every))); err == nil {
			err = r.kill(ctx, n%killAllEvery == 0)
		}
	}
	if err != nil {
		fail(err)
	}
	<-sent
	return took, load.Sleep(ctx, r.Settle)
}

// send has the clients send all events in turn, a batch each, so that several events of a socket
// are in flight and can get out of order.
func (r *killRun) send(ctx context.Context) error {
	next, number := time.Now(), uint64(0)
	for range r.Batches {
		for range r.Batch {
			number++
			r.log.sent(number, time.Now())
			if err := r.pool.Send(r.log.sender(number), load.AppendEvent(nil, number, load.NewPayload(number, r.pool.Clock()))); err != nil {
				return err
			}
		}
		next = next.Add(r.Every)
		if err := load.Sleep(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	return nil
}

// kill kills all backends, or the one that received the most events, and replaces them.
func (r *killRun) kill(ctx context.Context, all bool) error {
	slices.SortFunc(r.alive, func(a, b *backendProcess) int { return int(b.count.Load() - a.count.Load()) })
	doomed := r.alive[:1]
	if all {
		doomed = r.alive
	}
	begin := time.Now()
	for _, b := range doomed {
		if err := b.Err(); err != nil {
			return err
		}
		b.killed = begin
	}
	for _, b := range doomed {
		b.Kill()
	}
	r.kills += len(doomed)
	r.alive = slices.Clone(r.alive[len(doomed):])
	if all {
		if err := load.Sleep(ctx, absence); err != nil {
			return err
		}
		first, err := r.start(ctx)
		if err != nil {
			return err
		}
		r.gaps = append(r.gaps, gap{from: begin, to: first})
	}
	return r.replace(ctx)
}

// replace starts backends until there are enough.
func (r *killRun) replace(ctx context.Context) error {
	for len(r.alive) < r.Backends {
		if _, err := r.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start starts a backend and returns a time at which it had subscribed.
func (r *killRun) start(ctx context.Context) (time.Time, error) {
	b, err := startBackend(ctx, backendConfig{Target: *r.target, Think: r.Think})
	if err != nil {
		return time.Time{}, err
	}
	r.all, r.alive = append(r.all, b), append(r.alive, b)
	return time.Now(), nil
}
