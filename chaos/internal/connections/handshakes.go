package connections

import (
	"context"
	"fmt"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Handshakes has many clients connect and leave.
type Handshakes struct {
	Clients int
	// Polling connects over long-polling and upgrades.
	Polling bool
	// Window is how many clients connect at a time.
	Window int
}

// NewWebSocketHandshakes returns the scenario for clients on WebSocket.
func NewWebSocketHandshakes(quick bool) scenario.Scenario {
	if quick {
		return &Handshakes{Clients: 2000, Window: 200}
	}
	return &Handshakes{Clients: 50_000, Window: 200}
}

// NewPollingHandshakes returns the scenario for clients that connect over long-polling and upgrade.
func NewPollingHandshakes(quick bool) scenario.Scenario {
	if quick {
		return &Handshakes{Clients: 500, Polling: true, Window: 200}
	}
	return &Handshakes{Clients: 5000, Polling: true, Window: 200}
}

// Figures of [Handshakes].
const (
	figureConnectCPU = "connect_us" // the server's CPU time for a connection, µs
	figureConnectP99 = "connect_ms"
)

// Info implements [scenario.Scenario].
func (s *Handshakes) Info() scenario.Info {
	name, title, how := "handshakes-websocket", "Handshakes over WebSocket", "over WebSocket"
	if s.Polling {
		name, title, how = "handshakes-polling", "Handshakes over long-polling", "over long-polling and upgrade"
	}
	return scenario.Info{
		Name: name, Title: title,
		Description: fmt.Sprintf("%d clients connect %s, %d at a time, each with a JWT that the server verifies, and leave as soon as they are in "+
			"their room. A handshake is lost if an answer takes longer than 5 s.", s.Clients, how, s.Window),
		Limits: []scenario.Limit{scenario.Zero(scenario.Lost, "lost handshakes")},
		Summary: func(f results.Figures) string {
			return fmt.Sprintf("%.0f handshakes, %.0f µs of the server's CPU each, p99 %.1f ms",
				f[scenario.Connects], f[figureConnectCPU], f[figureConnectP99])
		},
	}
}

// Run implements [scenario.Scenario].
func (s *Handshakes) Run(ctx context.Context, env *scenario.Env) (results.Figures, error) {
	target, err := env.Start(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := load.NewClients(ctx, target, s.Clients, load.InRooms(load.Everyone))
	if err != nil {
		return nil, err
	}
	c, err := load.NewConnector(target, load.Options{Protocol: load.SocketIO{Polling: s.Polling}, Window: s.Window})
	if err != nil {
		return nil, err
	}
	before, err := load.UsageAfter(ctx, env.Pause, target.PID)
	if err != nil {
		return nil, err
	}
	err = c.Connect(ctx, clients, 1, func(_ int, conn *load.Conn) error {
		conn.Close()
		return nil
	})
	if err != nil {
		return nil, err
	}
	after, err := load.UsageAfter(ctx, env.Pause, target.PID)
	if err != nil {
		return nil, err
	}
	if c.Lost() == c.Tried() {
		return nil, fmt.Errorf("no client could connect: %w", c.LastError())
	}
	return results.Figures{
		scenario.Connects: float64(c.Tried()),
		scenario.Lost:     float64(c.Lost()),
		figureConnectCPU:  load.Micros(after.CPU-before.CPU) / float64(c.Tried()),
		figureConnectP99:  load.Millis(c.Latency().Quantile(0.99)),
	}, nil
}
