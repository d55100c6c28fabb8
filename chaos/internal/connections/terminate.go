package connections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Terminate sends a server SIGTERM under load.
type Terminate struct {
	Clients int
	// Every is the time between two messages of each of two publishers; clients send twice as many
	// events.
	Every time.Duration
	// Rounds is how many servers get SIGTERM, one after the other.
	Rounds int
	// Args are the server's further arguments.
	Args []string
}

// NewTerminate returns the scenario.
func NewTerminate(quick bool) scenario.Scenario {
	if quick {
		return &Terminate{100, 10 * time.Millisecond, 2, scenario.DrainArgs()}
	}
	return &Terminate{500, 10 * time.Millisecond, 5, scenario.DrainArgs()}
}

// Info implements [scenario.Scenario].
func (s *Terminate) Info() scenario.Info {
	rate := 1 / s.Every.Seconds()
	return scenario.Info{
		Name:  "terminate",
		Title: "SIGTERM under load",
		Description: fmt.Sprintf("%d clients get %.0f messages a second by single calls and %.0f over an EmitStream, and send %.0f events a second, which a "+
			"backend answers. In the middle of that the server gets SIGTERM. This happens %d times, each time to another server, which runs with "+
			"`%s`. Each accepted message must reach exactly as many clients as its answer said, before SIGTERM and after it. Each client must "+
			"receive its messages without a gap and the reason for the disconnect. Each event must be answered, unless the connection ends first and the "+
			"event was sent less than a second before.",
			s.Clients, rate, rate, 2*rate, s.Rounds, strings.Join(s.Args, " ")),
		Limits: []scenario.Limit{
			scenario.Zero(scenario.Missing, "deliveries that an answer counted and that did not happen"),
			scenario.Zero(scenario.Disorder, "messages that clients missed in between, or received out of order"),
			scenario.Zero(scenario.Unanswered, "events sent more than a second before the end and never answered"),
			scenario.Zero(scenario.UnexpectedAcks, "answers that no client waited for, second answers included"),
			scenario.Zero(scenario.WithoutGoodbye, "connections that ended without a reason"),
			scenario.Zero(scenario.ExitedBadly, "exit codes other than 0"),
			{Figure: scenario.Ended, Max: scenario.DrainTimeout.Seconds(), What: "seconds until the server had ended"},
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f messages accepted, %.0f received by %.0f clients; %.0f events, %.0f answered, of which %.0f with an error",
				f[scenario.Accepted], f[scenario.Received], f[scenario.Clients], f[scenario.Asked], f[scenario.Answered], f[scenario.ErrorAnswers])
		},
	}
}

const (
	// underLoad is how long the load lasts before the server gets SIGTERM.
	underLoad = 2 * time.Second
	// inFlight is how long before that an event may be sent and remain unanswered.
	inFlight = time.Second
)

// terminateRound is one round of [Terminate].
type terminateRound struct {
	*Terminate
	timeout  time.Duration
	server   *process.Server
	target   *process.Target
	control  *grpc.ClientConn
	watchers *observe.Watchers

	// queued is to how many clients each message was queued, by publisher. Each publisher's
	// goroutine has its own slice.
	queued [observe.Publishers][]int
}

// Run implements [scenario.Scenario].
func (s *Terminate) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	command, err := env.Single(s.Args...)
	if err != nil {
		return nil, err
	}
	f := results.Figures{scenario.Kills: float64(s.Rounds)}
	for round := range s.Rounds {
		if err := s.round(ctx, env, &command, f); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return f, nil
}

func (s *Terminate) round(ctx context.Context, env *scenario.Env, command *process.Command, f results.Figures) error {
	server, err := process.Start(ctx, command)
	if err != nil {
		return err
	}
	defer server.Stop()
	r := &terminateRound{Terminate: s, timeout: env.Timeout, server: server, target: server.Target()}
	if r.control, err = r.target.DialControl(); err != nil {
		return err
	}
	defer r.control.Close()
	if r.watchers, err = observe.NewWatchers(ctx, r.target, s.Clients); err != nil {
		return err
	}
	defer r.watchers.Close()
	b, err := load.NewBackend(ctx, r.target)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // the server has ended its stream
	return r.run(ctx, f)
}

// run keeps the load up until the server has ended, and adds figures.
func (r *terminateRound) run(ctx context.Context, f results.Figures) error {
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	var publishing sync.WaitGroup
	publishing.Go(func() { r.emitByCalls(loading) })
	publishing.Go(func() { r.emitByStream(loading) })
	publishing.Go(func() { r.sendEvents(loading) })
	if err := load.Sleep(ctx, underLoad); err != nil {
		return err
	}
	early := r.watchers.Events()
	if err := load.Sleep(ctx, inFlight); err != nil {
		return err
	}
	if err := terminate(ctx, r.server, r.timeout, f); err != nil {
		return err
	}
	cancel()
	publishing.Wait()
	ending, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := r.watchers.AwaitEnd(ending); err != nil {
		return err
	}
	for _, example := range r.watchers.AddInterrupted(f, r.queued, early) {
		slog.Warn("SIGTERM: " + example)
	}
	return nil
}

// terminate sends a server SIGTERM, waits until it has ended, and adds how long that took and whether its
// exit code was wrong.
func terminate(ctx context.Context, server *process.Server, timeout time.Duration, f results.Figures) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errors.New("the server does not end"))
	defer cancel()
	begin := time.Now()
	if err := server.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-server.Ended():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f.Raise(scenario.Ended, time.Since(begin).Seconds())
	if server.ExitCode() != 0 {
		f[scenario.ExitedBadly]++
	}
	return nil
}

// emitByCalls emits by single calls until one fails.
func (r *terminateRound) emitByCalls(ctx context.Context) {
	messages := salav1.NewMessageServiceClient(r.control)
	for n := uint64(1); load.Sleep(ctx, r.Every) == nil; n++ {
		answer, err := messages.Emit(r.target.Authorize(ctx), load.NewEmit(load.Everyone, observe.NewMessage(0, n)))
		if err != nil {
			return
		}
		r.queued[0] = append(r.queued[0], int(answer.GetQueued()))
	}
}

// emitByStream emits over a stream, without waiting for answers, until it ends.
func (r *terminateRound) emitByStream(ctx context.Context) {
	stream, err := salav1.NewMessageServiceClient(r.control).EmitStream(r.target.Authorize(ctx))
	if err != nil {
		return
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := uint64(1); load.Sleep(ctx, r.Every) == nil; n++ {
			request := &salav1.EmitStreamRequest{Sequence: n, Emit: load.NewEmit(load.Everyone, observe.NewMessage(1, n))}
			if stream.Send(request) != nil {
				return
			}
		}
	})
	defer sending.Wait()
	for {
		answer, err := stream.Recv()
		if err != nil || answer.GetResult().GetError() != nil {
			return
		}
		r.queued[1] = append(r.queued[1], int(answer.GetResult().GetQueued()))
	}
}

// sendEvents has clients send events while there are any.
func (r *terminateRound) sendEvents(ctx context.Context) {
	for load.Sleep(ctx, r.Every/2) == nil {
		_ = r.watchers.SendEvent() // its client may have been disconnected
	}
}
