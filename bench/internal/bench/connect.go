package bench

import (
	"context"
	"fmt"
	"sync"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// Connect measures what connecting costs and whether connections are lost.
type Connect struct {
	Clients int
	// Warmup is how many clients connect before anything is measured.
	Warmup int
	// Drop closes each connection at once instead of keeping all.
	Drop bool
}

func (b Connect) run(ctx context.Context, env *environment, _ func()) (results.Figures, error) {
	clients, err := load.NewClients(ctx, &env.Target, b.Clients, load.InRooms(load.Everyone))
	if err != nil {
		return nil, err
	}
	if err := warmUp(ctx, env, false, clients[:min(b.Warmup, len(clients))]); err != nil {
		return nil, err
	}
	c, err := env.connector(false)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var open []*load.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	before, err := process.ReadUsage(env.Target.PID)
	if err != nil {
		return nil, err
	}
	err = c.Connect(ctx, clients, 1, func(_ int, conn *load.Conn) error {
		if b.Drop {
			conn.Close()
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		open = append(open, conn)
		return nil
	})
	if err != nil {
		return nil, err
	}
	after, err := load.UsageAfter(ctx, env.Pause, env.Target.PID)
	if err != nil {
		return nil, err
	}
	if c.Lost() == c.Tried() {
		return nil, fmt.Errorf("no client could connect: %w", c.LastError())
	}
	f := results.Figures{}
	addConnects(f, c, after.CPU-before.CPU)
	return f, nil
}

// warmUp connects clients and closes their connections, so that the server has done what it does
// only once.
func warmUp(ctx context.Context, env *environment, polling bool, clients []load.Client) error {
	c, err := env.connector(polling)
	if err != nil {
		return err
	}
	err = c.Connect(ctx, clients, load.MaxAttempts, func(_ int, conn *load.Conn) error {
		conn.Close()
		return nil
	})
	if err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	return load.Sleep(ctx, env.Pause)
}
