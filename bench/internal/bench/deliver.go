package bench

import (
	"context"
	"errors"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
)

// Deliver publishes to rooms and measures what that costs and how long it takes.
type Deliver struct {
	load.DeliveryConfig
	Batches       int
	WarmupBatches int
}

func (b Deliver) run(ctx context.Context, env *environment, ready func()) (results.Figures, error) {
	d := load.NewDelivery(b.DeliveryConfig, env.Timeout)
	clients, err := d.NewClients(ctx, &env.Target)
	if err != nil {
		return nil, err
	}
	c, err := env.connector(false)
	if err != nil {
		return nil, err
	}
	if err := d.Connect(ctx, c, clients); err != nil {
		return nil, err
	}
	defer d.Pool.Close()
	ready()
	if err := d.OpenPublisher(ctx, &env.Target); err != nil {
		return nil, err
	}
	f, err := b.measure(ctx, env, d)
	dropped, closeErr := d.ClosePublisher()
	if err := errors.Join(err, closeErr); err != nil {
		return nil, err
	}
	f[Rejected], f[Lost] = float64(dropped), float64(c.Lost())
	return f, nil
}

func (b Deliver) measure(ctx context.Context, env *environment, d *load.Delivery) (results.Figures, error) {
	if err := load.Sleep(ctx, env.Pause); err != nil {
		return nil, err
	}
	if err := d.Publish(ctx, b.WarmupBatches); err != nil {
		return nil, err
	}
	server, own, err := env.cost(ctx, func() error { return d.Publish(ctx, b.Batches) })
	if err != nil {
		return nil, err
	}
	counts, err := d.Pool.Counts()
	if err != nil {
		return nil, err
	}
	if counts.Deliveries == 0 {
		return nil, errors.New("nothing arrived")
	}
	delivered, latency := float64(counts.Deliveries), d.Pool.Latency()
	return results.Figures{
		CPU:        load.Micros(server) / delivered,
		LoadCPU:    load.Micros(own) / delivered,
		P50:        load.Millis(latency.Quantile(0.50)),
		P99:        load.Millis(latency.Quantile(0.99)),
		Max:        load.Millis(latency.Max()),
		Deliveries: delivered,
		Missing:    float64(d.Missing()),
		Disorder:   float64(counts.Disorder),
		Gone:       float64(counts.Gone),
	}, nil
}
