package connections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Storm cuts most of the connections at the same time; the clients come back as stock clients do.
type Storm struct {
	observe.BystanderConfig
	// Dropped is how many further clients lose their connections.
	Dropped int
}

// NewStorm returns the scenario.
func NewStorm(quick bool) scenario.Scenario {
	if quick {
		return &Storm{observe.BystanderConfig{Clients: 200, Every: 20 * time.Millisecond, Window: 20, Warmup: 10}, 1000}
	}
	return &Storm{observe.BystanderConfig{Clients: 1000, Every: 20 * time.Millisecond, Window: 50, Warmup: 100}, 14_000}
}

// figureBack99 is for the seconds until 99 of 100 clients were connected again.
const figureBack99 = "back_99_s"

// Info implements [scenario.Scenario].
func (s *Storm) Info() scenario.Info {
	return scenario.Info{
		Name:  "storm",
		Title: "All clients reconnect at the same time",
		Description: fmt.Sprintf("%d clients are connected over WebSocket, each with its own token. The connections of all but %d are cut at the same time, "+
			"as when a load balancer dies. The clients come back as stock clients do: after 0.5 to 1.5 s, and after growing delays when that "+
			"fails. No client waits for another, so that many handshakes run at the same time. Meanwhile %.0f messages a second go to the clients "+
			"that stayed. Their p99 is the largest of any %.1f s.",
			s.Clients+s.Dropped, s.Clients, s.PerSecond(), s.Seconds()),
		Limits: []scenario.Limit{
			{Figure: figureBack99, Max: 15, What: "seconds until 99 of 100 were connected again"},
			{Figure: scenario.P99During, Max: 250, What: "p99 of the clients that stayed, ms"},
			scenario.Zero(scenario.Stayed, "clients that the broker lacks in the end"),
			scenario.Zero(scenario.Missing, "messages that clients that stayed missed"),
			scenario.Zero(scenario.Disorder, "messages that they received out of order"),
			scenario.Zero(scenario.Gone, "of them that lost their connection"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("the last client was connected again after %.1f s; %.0f attempts, of which %.0f failed; p99 %.1f ms before; %.1f s of the server's CPU",
				f[scenario.Back], f[scenario.Connects], f[scenario.Lost], f[scenario.P99], f[scenario.Seconds])
		},
	}
}

// droppedRoom is the room of clients that lose their connections.
const droppedRoom = "dropped"

// beforeCut is how long the clients are connected before their connections are cut: long enough to
// measure once.
const beforeCut = 2 * time.Second

// Run implements [scenario.Scenario]. The clients that come back are in a process of their own, so
// that they share only the server with the clients that stay.
func (s *Storm) Run(ctx context.Context, env *scenario.Env) (f results.Figures, err error) {
	target, err := env.Start(ctx)
	if err != nil {
		return nil, err
	}
	b, err := observe.NewBystanders(ctx, target, s.BystanderConfig, env.Timeout)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	config := reconnectConfig{Target: *target, Clients: s.Dropped, CutAfter: beforeCut, Timeout: env.Timeout}
	crowd, err := process.StartChild(ctx, reconnectRole, config, nil)
	if err != nil {
		return nil, err
	}
	defer crowd.Kill()
	if err := crowd.AwaitReady(env.Timeout); err != nil {
		return nil, err
	}
	before, err := b.Measure(ctx, 1)
	if err != nil {
		return nil, err
	}
	worst, err := measureUntilReady(ctx, b, crowd)
	if err != nil {
		return nil, err
	}
	lacking, err := s.countLacking(ctx, target)
	if err != nil {
		return nil, err
	}
	if err := crowd.Stop(&f); err != nil {
		return nil, err
	}
	f[scenario.Clients] = float64(s.Clients + s.Dropped)
	f[scenario.P99], f[scenario.P99During], f[scenario.Stayed] = before, worst, float64(lacking)
	b.AddTo(f)
	return f, nil
}

// measureUntilReady measures until all clients are connected again, or the child has given up, and
// returns the largest p99.
func measureUntilReady(ctx context.Context, b *observe.Bystanders, crowd *process.Child) (worst float64, err error) {
	for {
		p99, err := b.Measure(ctx, 1)
		if err != nil {
			return 0, err
		}
		worst = max(worst, p99)
		select {
		case <-crowd.Ready():
			return worst, nil
		case <-crowd.Ended():
			return 0, crowd.Err()
		default:
		}
	}
}

// countLacking emits to the clients that came back, and returns how many of them the server does
// not know.
func (s *Storm) countLacking(ctx context.Context, target *process.Target) (int, error) {
	conn, err := target.DialControl()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answer, err := salav1.NewMessageServiceClient(conn).Emit(target.Authorize(ctx), load.NewEmit(droppedRoom, load.NewPayload(1, 0)))
	if err != nil {
		return 0, fmt.Errorf("emitting: %w", err)
	}
	return s.Dropped - int(answer.GetQueued()), nil
}

// reconnectRole is the role of the child whose clients come back.
const reconnectRole = "reconnect"

// Roles returns the roles of children that these scenarios need.
func Roles() map[string]process.Role {
	return map[string]process.Role{reconnectRole: process.NewRole(reconnect)}
}

// reconnectConfig configures a child whose clients come back.
type reconnectConfig struct {
	Target   process.Target
	Clients  int
	CutAfter time.Duration
	// Timeout is how long the child waits for its clients.
	Timeout time.Duration
}

// reconnect connects clients, cuts their connections and lets them come back. It is ready when all
// are connected, and again when all are connected again or the timeout is over. Then it keeps them
// until it gets SIGTERM.
func reconnect(ctx context.Context, c reconnectConfig, notify func(any)) (any, error) {
	clients, err := load.NewClients(ctx, &c.Target, c.Clients, load.InRooms(droppedRoom))
	if err != nil {
		return nil, err
	}
	back, err := newReconnecting(c.Target.Listen, clients)
	if err != nil {
		return nil, err
	}
	pool, err := load.ConnectAll(ctx, &c.Target, clients, load.Options{})
	if err != nil {
		return nil, err
	}
	notify(process.Ready{})
	if err := load.Sleep(ctx, c.CutAfter); err != nil {
		pool.Close()
		return nil, err
	}
	before, err := process.CPU(c.Target.PID)
	if err != nil {
		return nil, err
	}
	pool.Close()
	back.start()
	defer back.stop()
	for begin := time.Now(); back.missing() > 0 && time.Since(begin) < c.Timeout; {
		if err := load.Sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	after, err := process.CPU(c.Target.PID)
	if err != nil {
		return nil, err
	}
	f := results.Figures{scenario.Seconds: (after - before).Seconds()}
	back.addTo(f)
	notify(process.Ready{})
	<-ctx.Done()
	return f, nil
}
