package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/line"
	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Control calls the control API as fast as it answers and measures what a call costs. Its messages
// go to a room of one client; a server without clients only answers.
type Control struct {
	// Unary, Stream and REST are how many calls are made in each way.
	Unary, Stream, REST int
	// Warmup is how many calls are made in each way before anything is measured.
	Warmup int
}

const (
	// callers is how many calls are made at a time.
	callers = 8
	// streamWindow is how many messages of a stream may be unanswered.
	streamWindow = 1024
)

// controlRun is a run of [Control].
type controlRun struct {
	Control
	env    *environment
	pool   *load.Pool // nil if there are no clients
	number atomic.Uint64
	sent   uint64
}

func (b Control) run(ctx context.Context, env *environment, _ func()) (results.Figures, error) {
	r := &controlRun{Control: b, env: env}
	if env.Protocol == "" {
		r.REST = 0 // such a server has no REST either
	} else {
		clients, err := load.NewClients(ctx, &env.Target, 1, load.InRooms(load.Everyone))
		if err != nil {
			return nil, err
		}
		if r.pool, err = load.ConnectAll(ctx, &env.Target, clients, load.Options{}); err != nil {
			return nil, err
		}
		defer r.pool.Close()
	}
	f := results.Figures{}
	for _, way := range []struct {
		figure string
		calls  int
		call   func(ctx context.Context, calls int) error
	}{
		{UnaryCPU, r.Unary, r.unary},
		{StreamCPU, r.Stream, r.stream},
		{RESTCPU, r.REST, r.rest},
	} {
		if way.calls == 0 {
			continue
		}
		cost, err := r.measure(ctx, way.calls, way.call)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.figure, err)
		}
		f[way.figure] = cost
	}
	if r.pool != nil {
		counts, err := r.pool.Counts()
		if err != nil {
			return nil, err
		}
		f[Missing] = float64(r.sent - counts.Deliveries)
	}
	return f, nil
}

// measure returns the server's CPU time per call, in microseconds.
func (r *controlRun) measure(ctx context.Context, calls int, call func(context.Context, int) error) (float64, error) {
	if err := call(ctx, r.Warmup); err != nil {
		return 0, err
	}
	r.sent += uint64(r.Warmup)
	server, _, err := r.env.cost(ctx, func() error {
		if err := call(ctx, calls); err != nil {
			return err
		}
		r.sent += uint64(calls)
		if r.pool == nil {
			return nil
		}
		return r.pool.Await(ctx, r.sent, r.env.Timeout)
	})
	return load.Micros(server) / float64(calls), err
}

func (r *controlRun) payload() []byte {
	var now time.Duration
	if r.pool != nil {
		now = r.pool.Clock()
	}
	return load.NewPayload(r.number.Add(1), now)
}

// unary calls Emit, several at a time over one connection.
func (r *controlRun) unary(ctx context.Context, calls int) error {
	conn, err := r.env.Target.DialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	messages := salav1.NewMessageServiceClient(conn)
	return load.InParallel(r.env.Target.Authorize(ctx), callers, calls, func(ctx context.Context, _ int) error {
		_, err := messages.Emit(ctx, load.NewEmit(load.Everyone, r.payload()))
		return err
	})
}

// rest posts to /v1/emit, several at a time over as many connections.
func (r *controlRun) rest(ctx context.Context, calls int) error {
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	return load.InParallel(ctx, callers, calls, func(ctx context.Context, _ int) error {
		return load.PostEmit(ctx, client, &r.env.Target, load.Everyone, r.payload())
	})
}

// stream sends over one EmitStream, as fast as the server answers.
func (r *controlRun) stream(ctx context.Context, calls int) error {
	p, err := load.NewEmitStream(ctx, &r.env.Target)
	if err != nil {
		return err
	}
	for range calls {
		err := p.AwaitFewer(ctx, streamWindow)
		if err == nil {
			err = p.Publish([]line.Message{{Room: load.Everyone, Payload: r.payload()}})
		}
		if err != nil {
			_, _ = p.Close() // the first error counts
			return err
		}
	}
	_, err = p.Close()
	return err
}
