package bench

import (
	"context"
	"errors"
	"time"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
)

// Events has clients send events whose acks return what was sent: first at a pace, for the latency,
// then a number at a time, for throughput and cost. Sala passes the events on to a backend, which
// is here, over one stream. The other servers handle them in their own process.
type Events struct {
	Clients int
	// Batch events are sent every Every, Batches times after WarmupBatches times.
	Batch         int
	Every         time.Duration
	Batches       int
	WarmupBatches int
	// Events is how many events are sent then, InFlight at a time.
	Events   int
	InFlight int
}

// eventsRun is a run of [Events].
type eventsRun struct {
	Events
	env    *environment
	pool   *load.Pool
	number uint64
}

func (b Events) run(ctx context.Context, env *environment, _ func()) (f results.Figures, err error) {
	if env.Target.APIKey != "" {
		backend, err := load.NewBackend(ctx, &env.Target)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, backend.Close()) }()
	}
	clients, err := load.NewClients(ctx, &env.Target, b.Clients, load.InRooms())
	if err != nil {
		return nil, err
	}
	c, err := env.connector(false)
	if err != nil {
		return nil, err
	}
	r := &eventsRun{Events: b, env: env}
	if r.pool, err = c.Pool(ctx, clients); err != nil {
		return nil, err
	}
	defer r.pool.Close()
	if err := r.send(ctx, b.WarmupBatches, b.Batch, b.Every); err != nil {
		return nil, err
	}
	if err := r.send(ctx, b.Batches, b.Batch, b.Every); err != nil {
		return nil, err
	}
	counts, err := r.pool.Counts()
	if err != nil {
		return nil, err
	}
	latency := r.pool.Latency()
	f = results.Figures{
		P50:     load.Millis(latency.Quantile(0.50)),
		P99:     load.Millis(latency.Quantile(0.99)),
		Missing: float64(uint64(b.Batch*b.Batches) - counts.Deliveries),
	}
	return f, r.flood(ctx, f)
}

// send has the clients send batches of events in turn, and waits until all are answered. Without a
// pace it sends each batch once the one before is answered.
func (r *eventsRun) send(ctx context.Context, batches, batch int, every time.Duration) error {
	r.pool.Reset()
	next := time.Now()
	for n := range batches {
		for range batch {
			r.number++
			event := load.AppendEvent(nil, r.number, load.NewPayload(r.number, r.pool.Clock()))
			if err := r.pool.Send(int(r.number%uint64(r.Clients)), event); err != nil {
				return err
			}
		}
		var err error
		if every > 0 {
			next = next.Add(every)
			err = load.Sleep(ctx, time.Until(next))
		} else {
			err = r.pool.Await(ctx, uint64(batch*(n+1)), r.env.Timeout)
		}
		if err != nil {
			return err
		}
	}
	return r.pool.Await(ctx, uint64(batch*batches), r.env.Timeout)
}

// flood measures throughput and cost.
func (r *eventsRun) flood(ctx context.Context, f results.Figures) error {
	if err := r.send(ctx, 1, r.InFlight, 0); err != nil {
		return err
	}
	batches := r.Events.Events / r.InFlight
	var took time.Duration
	server, own, err := r.env.cost(ctx, func() error {
		begin := time.Now()
		err := r.send(ctx, batches, r.InFlight, 0)
		took = time.Since(begin)
		return err
	})
	if err != nil {
		return err
	}
	counts, err := r.pool.Counts()
	if err != nil {
		return err
	}
	if counts.Deliveries == 0 {
		return errors.New("no event was answered")
	}
	answered := float64(counts.Deliveries)
	f[CPU] = load.Micros(server) / answered
	f[LoadCPU] = load.Micros(own) / answered
	f[Rate] = answered / took.Seconds()
	f[Missing] += float64(batches*r.InFlight) - answered
	f[Disorder], f[Gone] = float64(counts.Disorder), float64(counts.Gone)
	return nil
}
