package observe

import (
	"context"
	"slices"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/process"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// BystanderConfig configures [Bystanders].
type BystanderConfig struct {
	Clients int
	// Every is the time from one message to the next.
	Every time.Duration
	// Window is how many messages a measurement takes, and Warmup how many come before the first
	// one.
	Window, Warmup int
}

// Seconds returns how long a window is.
func (c BystanderConfig) Seconds() float64 { return float64(c.Window) * c.Every.Seconds() }

// PerSecond returns how many messages are published in a second.
func (c BystanderConfig) PerSecond() float64 { return 1 / c.Every.Seconds() }

// Bystanders are clients in one room that do nothing wrong. They receive messages at a steady pace,
// while something else goes wrong.
type Bystanders struct {
	// Delivery is how messages get to them.
	Delivery *load.Delivery

	config            BystanderConfig
	missing           uint64
	disorder, endings uint64
}

// NewBystanders connects the clients and publishes the messages for warming up.
func NewBystanders(ctx context.Context, t *process.Target, c BystanderConfig, timeout time.Duration) (*Bystanders, error) {
	d, err := load.OpenDelivery(ctx, t, load.DeliveryConfig{Clients: c.Clients, Batch: 1, Every: c.Every}, timeout)
	if err != nil {
		return nil, err
	}
	b := &Bystanders{Delivery: d, config: c}
	if err := d.Publish(ctx, c.Warmup); err != nil {
		d.Pool.Close()
		return nil, err
	}
	return b, nil
}

// Measure publishes a number of windows and returns their p99, in milliseconds.
func (b *Bystanders) Measure(ctx context.Context, windows int) (p99 float64, err error) {
	if err := b.Delivery.Publish(ctx, windows*b.config.Window); err != nil {
		return 0, err
	}
	counts, err := b.Delivery.Pool.Counts()
	b.missing += b.Delivery.Missing()
	b.disorder += counts.Disorder
	b.endings += counts.Gone
	return load.Millis(b.Delivery.Pool.Latency().Quantile(0.99)), err
}

// AddTo adds what they lost in all measurements to figures.
func (b *Bystanders) AddTo(f results.Figures) {
	f[scenario.Missing], f[scenario.Disorder], f[scenario.Gone] = float64(b.missing), float64(b.disorder), float64(b.endings)
}

// Close closes the clients' connections and the publisher. The error says that a message was
// refused.
func (b *Bystanders) Close() error {
	b.Delivery.Pool.Close()
	_, err := b.Delivery.ClosePublisher()
	return err
}

// Median returns the median of values, which it sorts.
func Median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
