package connections

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// Files has more clients connect than the server has file descriptors for.
type Files struct {
	// Clients is how many clients are connected before.
	Clients int
	// Crowd is how many further connections come.
	Crowd int
	// Files is how many files the server may open.
	Files int
	// Calls is how many calls are made meanwhile, one Every.
	Calls int
	Every time.Duration
}

// NewFiles returns the scenario.
func NewFiles(quick bool) scenario.Scenario {
	s := &Files{Clients: 100, Crowd: 1500, Files: 600, Calls: 200, Every: 20 * time.Millisecond}
	if quick {
		s.Calls = 20
	}
	return s
}

// Info implements [scenario.Scenario].
func (s *Files) Info() scenario.Info {
	return scenario.Info{
		Name:  "files",
		Title: "Out of file descriptors",
		Description: fmt.Sprintf("A server that may open %d files has %d clients in a room. Then %d more connections come and stay silent. Meanwhile %d calls "+
			"to the control API, each over a new connection, emit to that room, and each is followed by a health check over another new "+
			"connection. Once the crowd has left, new clients must be able to connect.",
			s.Files, s.Clients, s.Crowd, s.Calls),
		Limits: []scenario.Limit{
			scenario.Zero(scenario.Refused, "calls and health checks that failed"),
			{Figure: scenario.Slowest, Max: 1000, What: "slowest of them, ms"},
			scenario.Zero(scenario.Missing, "messages that clients missed"),
			scenario.Zero(scenario.Gone, "clients that lost their connection"),
			{Figure: scenario.Resumed, Max: 5, What: "seconds until new clients could connect again"},
			scenario.Zero(scenario.Faulty, "log lines that report a failure of the broker itself"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f connections came, %.0f calls were made", f[scenario.Clients], f[scenario.Accepted])
		},
	}
}

// settleTimeout is how long messages may take to arrive at the end.
const settleTimeout = 10 * time.Second

// filesRun is a run of [Files].
type filesRun struct {
	*Files
	timeout  time.Duration
	target   *process.Target
	dialer   *load.Dialer
	watchers *observe.Watchers
	figures  results.Figures
}

// Run implements [scenario.Scenario].
func (s *Files) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	command, err := env.Single()
	if err != nil {
		return nil, err
	}
	command.Args = append([]string{"-c", "ulimit -n " + strconv.Itoa(s.Files) + ` && exec "$0" "$@"`, command.Path}, command.Args...)
	command.Path = "/bin/sh"
	server, err := process.Start(ctx, &command)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	r := &filesRun{Files: s, timeout: env.Timeout, target: server.Target(), figures: results.Figures{}}
	if r.dialer, err = load.NewDialer(r.target.Listen); err != nil {
		return nil, err
	}
	if r.watchers, err = observe.NewWatchers(ctx, r.target, s.Clients); err != nil {
		return nil, err
	}
	defer r.watchers.Close()
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	f := r.figures
	for _, example := range r.watchers.AddTo(f) {
		slog.Warn("out of files: " + example)
	}
	f[scenario.Clients] = float64(s.Crowd)
	f[scenario.Faulty], err = r.target.LoggedFailures()
	return f, err
}

// run has the crowd come, makes calls, and waits until new clients can connect after the crowd has
// left.
func (r *filesRun) run(ctx context.Context) error {
	crowd := make([]*load.Conn, 0, r.Crowd)
	leave := func() {
		for _, c := range crowd {
			c.Close()
		}
		crowd = nil
	}
	defer leave()
	for range r.Crowd {
		c, err := r.dialer.Dial()
		if err != nil {
			return err
		}
		crowd = append(crowd, c)
	}
	for n := range r.Calls {
		r.call(ctx, uint64(n+1))
		if err := load.Sleep(ctx, r.Every); err != nil {
			return err
		}
	}
	if c, err := OpenSession(r.dialer); err == nil {
		c.Close()
		return fmt.Errorf("the server accepts clients though it has %d connections and %d files", r.Crowd, r.Files.Files)
	}
	leave()
	begin := time.Now()
	for {
		c, err := OpenSession(r.dialer)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(begin) > r.timeout {
			return fmt.Errorf("no client can connect any more: %w", err)
		}
		if err := load.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	r.figures[scenario.Resumed] = time.Since(begin).Seconds()
	return r.watchers.Settle(ctx, settleTimeout)
}

// call emits to the clients that were connected before, over a new connection, and makes a health
// check over another.
func (r *filesRun) call(ctx context.Context, n uint64) {
	ctx, cancel := context.WithTimeout(ctx, load.HandshakeTimeout)
	defer cancel()
	begin := time.Now()
	r.figures[scenario.Accepted]++
	if err := r.emit(ctx, n); err != nil {
		r.failed(err)
	} else {
		r.watchers.Sent(0, n)
	}
	if err := observe.Live(ctx, r.target); err != nil {
		r.failed(err)
	}
	r.figures.Raise(scenario.Slowest, load.Millis(time.Since(begin)))
}

func (r *filesRun) failed(err error) {
	r.figures[scenario.Refused]++
	slog.Warn("out of files: " + err.Error())
}

func (r *filesRun) emit(ctx context.Context, n uint64) error {
	conn, err := r.target.DialControl()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = salav1.NewMessageServiceClient(conn).Emit(r.target.Authorize(ctx), load.NewEmit(load.Everyone, observe.NewMessage(0, n)))
	return err
}
