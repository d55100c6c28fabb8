package connections

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/observe"
	"github.com/salabroker/sala/chaos/internal/scenario"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// State is one state in which a client can be when it vanishes.
type State struct {
	Name string
	// Open brings a client into the state and returns its connections.
	Open func(d *load.Dialer, c load.Client) ([]*load.Conn, error)
	// Reset says that its connections are reset rather than closed.
	Reset bool
}

// States returns all states.
func States() []State {
	return []State{
		{"websocket, reset", openWebSocket, true},
		{"websocket, closed", openWebSocket, false},
		{"upgraded, reset", openUpgraded, true},
		{"upgraded, closed", openUpgraded, false},
		{"poll pending, reset", openPending, true},
		{"poll pending, closed", openPending, false},
		{"between two polls, closed", openBetweenPolls, false},
		{"during an upgrade, reset", openProbing, true},
		{"before its connect packet, reset", openSilent, true},
		{"before its connect packet, closed", openSilent, false},
	}
}

// Close closes the client's connections without a word.
func (s State) Close(conns []*load.Conn) {
	for _, c := range conns {
		if s.Reset {
			c.Reset()
		} else {
			c.Close()
		}
	}
}

func openWebSocket(d *load.Dialer, c load.Client) ([]*load.Conn, error) {
	conn, _, err := load.OpenSocket(d, c)
	return single(conn, err)
}

func openUpgraded(d *load.Dialer, c load.Client) ([]*load.Conn, error) {
	return single(load.SocketIO{Polling: true}.Open(d, c))
}

func openPending(d *load.Dialer, c load.Client) ([]*load.Conn, error) {
	p, _, err := load.OpenPolling(d, c)
	if err != nil {
		return nil, err
	}
	return []*load.Conn{p.Conn}, p.StartPoll()
}

func openBetweenPolls(d *load.Dialer, c load.Client) ([]*load.Conn, error) {
	p, _, err := load.OpenPolling(d, c)
	if err != nil {
		return nil, err
	}
	return []*load.Conn{p.Conn}, nil
}

func openProbing(d *load.Dialer, c load.Client) ([]*load.Conn, error) {
	p, _, err := load.OpenPolling(d, c)
	if err != nil {
		return nil, err
	}
	conn, err := p.Probe(d)
	if err != nil {
		p.Close()
		return nil, err
	}
	return []*load.Conn{p.Conn, conn}, nil
}

func openSilent(d *load.Dialer, _ load.Client) ([]*load.Conn, error) {
	return single(OpenSilent(d))
}

// OpenSilent opens a WebSocket and reads the server's first packet, and sends no connect packet.
func OpenSilent(d *load.Dialer) (*load.Conn, error) {
	return load.OpenWebSocket(d, load.EnginePath+"websocket", func(c *load.Conn) error {
		_, err := c.ReadMessage()
		return err
	})
}

func single(c *load.Conn, err error) ([]*load.Conn, error) {
	if err != nil {
		return nil, err
	}
	return []*load.Conn{c}, nil
}

// Abrupt has clients vanish without a word.
type Abrupt struct {
	Clients int
	// Warmup is how many clients connect and vanish before anything is measured.
	Warmup int
	// Rounds is how many times all clients connect and vanish.
	Rounds int
	// Args are the server's further arguments.
	Args []string
}

// NewAbrupt returns the scenario.
func NewAbrupt(quick bool) scenario.Scenario {
	if quick {
		return &Abrupt{500, 50, 2, []string{"--ping-interval", "3s", "--ping-timeout", "1s"}}
	}
	return &Abrupt{10_000, 500, 3, []string{"--ping-interval", "15s", "--ping-timeout", "3s"}}
}

// Figures of [Abrupt] that have no limit: the largest values while all clients were connected, and
// the live heap after the first round.
const (
	figureGoroutines     = "goroutines"
	figureFiles          = "files"
	figureHeap           = "heap_kb"
	figureHeapAfterFirst = "heap_once_kb"
)

// Info implements [scenario.Scenario].
func (s *Abrupt) Info() scenario.Info {
	return scenario.Info{
		Name:  "abrupt",
		Title: "Clients that vanish",
		Description: fmt.Sprintf("%d clients connect, and all of their connections are cut at the same time without a close frame; %d times over. "+
			"The clients are on WebSocket, upgraded, with a poll pending, between two polls, in the middle of an upgrade, or have not sent their "+
			"connect packet yet. Their TCP connections are reset or closed. The server runs with `%s`. The comparison is between the time before "+
			"the first round and the time after the last one, with garbage collected. The first round leaves tables that have grown and the "+
			"runtime's own record of goroutines; later rounds must not add to the heap.", s.Clients, s.Rounds, strings.Join(s.Args, " ")),
		Limits: []scenario.Limit{
			{Figure: scenario.MoreGoroutines, Max: observe.KeptReaders(), What: "goroutines more than before (16 for each processor may be kept for reading)"},
			scenario.Zero(scenario.MoreFiles, "open files more than before"),
			{Figure: scenario.MoreHeap, Max: 2048, What: "live heap more than after the first round, KiB"},
			scenario.Zero(scenario.Listed, "sockets or connections still counted or listed"),
		},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("at most %.0f goroutines, %.0f files and %.1f MiB of live heap while all clients were connected; the first round left %.1f MiB",
				f[figureGoroutines], f[figureFiles], f[figureHeap]/1024, f[figureHeapAfterFirst]/1024)
		},
	}
}

// abruptRun is a run of [Abrupt].
type abruptRun struct {
	*Abrupt
	*observe.Observer
	env     *scenario.Env
	dialer  *load.Dialer
	clients []load.Client
}

// Run implements [scenario.Scenario].
func (s *Abrupt) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	target, err := env.Start(ctx, s.Args...)
	if err != nil {
		return nil, err
	}
	o, err := observe.NewObserver(target, env.Timeout)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	r := &abruptRun{Abrupt: s, Observer: o, env: env}
	if r.clients, err = load.NewClients(ctx, target, s.Clients, load.InRooms(load.Everyone)); err != nil {
		return nil, err
	}
	if r.dialer, err = load.NewDialer(target.Listen); err != nil {
		return nil, err
	}
	return r.measure(ctx, target)
}

func (r *abruptRun) measure(ctx context.Context, target *process.Target) (results.Figures, error) {
	if _, err := r.round(ctx, min(r.Warmup, r.Clients)); err != nil {
		return nil, fmt.Errorf("warming up: %w", err)
	}
	before, err := r.Settle(ctx, observe.Always)
	if err != nil {
		return nil, err
	}
	f := results.Figures{}
	var first, last observe.Metrics
	for range r.Rounds {
		peak, err := r.round(ctx, r.Clients)
		if err != nil {
			return nil, err
		}
		f.Raise(figureGoroutines, peak[observe.Goroutines])
		f.Raise(figureFiles, peak[observe.OpenFiles])
		f.Raise(figureHeap, peak.LiveHeap()/1024)
		last, err = r.Settle(ctx, func(m observe.Metrics) bool {
			return m[observe.Goroutines] <= before[observe.Goroutines]+observe.KeptReaders() && m[observe.OpenFiles] <= before[observe.OpenFiles]
		})
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = last
		}
	}
	f[scenario.Clients] = float64(r.Clients)
	f[scenario.MoreGoroutines] = last[observe.Goroutines] - before[observe.Goroutines]
	f[scenario.MoreFiles] = last[observe.OpenFiles] - before[observe.OpenFiles]
	f[figureHeapAfterFirst] = (first.LiveHeap() - before.LiveHeap()) / 1024
	f[scenario.MoreHeap] = (last.LiveHeap() - first.LiveHeap()) / 1024
	listed, err := salav1.NewSocketServiceClient(r.Control).ListSockets(target.Authorize(ctx), &salav1.ListSocketsRequest{})
	f[scenario.Listed] = last[observe.Sockets] + last[observe.Connections] + float64(len(listed.GetSockets()))
	return f, err
}

// round connects n clients, cuts their connections, and waits until the server has noticed. It
// returns the metrics from when all were connected.
func (r *abruptRun) round(ctx context.Context, n int) (observe.Metrics, error) {
	states := States()
	conns := make([][]*load.Conn, n)
	err := load.InParallel(ctx, load.DefaultWindow, n, func(_ context.Context, i int) (err error) {
		state := states[i%len(states)]
		if conns[i], err = state.Open(r.dialer, r.clients[i]); err != nil {
			err = fmt.Errorf("%s: %w", state.Name, err)
		}
		return err
	})
	peak, readErr := r.Read(ctx)
	for i := range conns {
		states[i%len(states)].Close(conns[i])
	}
	if err := errors.Join(err, readErr); err != nil {
		return nil, err
	}
	_, err = r.Await(ctx, r.env.Timeout, func(m observe.Metrics) bool { return m[observe.Connections] == 0 && m[observe.Sockets] == 0 })
	return peak, err
}

// OpenSession opens a session over long-polling and sends nothing more.
func OpenSession(d *load.Dialer) (*load.Conn, error) {
	c, err := d.Dial()
	if err != nil {
		return nil, err
	}
	if _, err := load.Exchange(c, d.Host, http.MethodGet, load.EnginePath+"polling", nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
