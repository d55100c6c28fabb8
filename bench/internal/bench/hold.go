package bench

import (
	"context"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
)

// Hold connects clients, leaves them alone and measures the memory that they take.
type Hold struct {
	Clients int
	// Polling opens each connection over HTTP long-polling and upgrades it, as stock clients do.
	Polling bool
	// Warmup is how many clients connect before anything is measured.
	Warmup int
	// Settle is how long the clients are left alone.
	Settle time.Duration
}

func (b Hold) run(ctx context.Context, env *environment, ready func()) (results.Figures, error) {
	d := load.NewDelivery(load.DeliveryConfig{Clients: b.Clients}, env.Timeout)
	clients, err := d.NewClients(ctx, &env.Target)
	if err != nil {
		return nil, err
	}
	if err := warmUp(ctx, env, b.Polling, clients[:min(b.Warmup, len(clients))]); err != nil {
		return nil, err
	}
	c, err := env.connector(b.Polling)
	if err != nil {
		return nil, err
	}
	empty, err := process.ReadUsage(env.Target.PID)
	if err != nil {
		return nil, err
	}
	if err := d.Connect(ctx, c, clients); err != nil {
		return nil, err
	}
	defer d.Pool.Close()
	fresh, err := load.UsageAfter(ctx, env.Pause, env.Target.PID)
	if err != nil {
		return nil, err
	}
	ready()
	settled, err := load.UsageAfter(ctx, b.Settle, env.Target.PID)
	if err != nil {
		return nil, err
	}
	perClient := func(u process.Usage) float64 { return float64(u.RSS-empty.RSS) / 1024 / float64(b.Clients) }
	f := results.Figures{RSSFresh: perClient(fresh), RSS: perClient(settled)}
	addConnects(f, c, fresh.CPU-empty.CPU)
	return f, checkConnected(ctx, env, d, f)
}

// checkConnected publishes one message to all clients, to see that they are still connected.
func checkConnected(ctx context.Context, env *environment, d *load.Delivery, f results.Figures) error {
	counts, err := d.Pool.Counts()
	if err != nil {
		return err
	}
	f[Gone] = float64(counts.Gone)
	if err := d.OpenPublisher(ctx, &env.Target); err != nil {
		return err
	}
	if err := d.Publish(ctx, 1); err != nil {
		return err
	}
	f[Missing] = float64(d.Missing())
	_, err = d.ClosePublisher()
	return err
}
