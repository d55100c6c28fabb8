package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
	"github.com/salabroker/sala/bench/internal/proc"
)

// delivery is a Deliver job that runs.
type delivery struct {
	job       *job.Job
	layout    *layout
	pool      *pool
	publisher publisher
	random    *rand.Rand

	sequence  uint64
	published []uint64       // by room, since the last reset
	expected  uint64         // deliveries of all that
	extra     []line.Message // go with each batch, to clients that aren't watched
}

func newDelivery(j *job.Job) *delivery {
	return &delivery{job: j, layout: newLayout(j), random: rand.New(rand.NewPCG(3, 4))} // the same choices every time
}

// runDeliver publishes to rooms and measures what that costs and how long it takes.
func runDeliver(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	d := newDelivery(j)
	clients, err := newClients(ctx, j, d.layout.roomsOf)
	if err != nil {
		return nil, err
	}
	c, err := newConnector(j)
	if err != nil {
		return nil, err
	}
	if d.pool, err = newPool(c.protocol); err != nil {
		return nil, err
	}
	defer d.pool.close()
	if err := c.connect(ctx, clients, attempts, d.pool.add); err != nil {
		return nil, err
	}
	connected()
	if d.publisher, err = newPublisher(ctx, j); err != nil {
		return nil, err
	}
	f, err := d.measure(ctx)
	rejected, closeErr := d.publisher.close()
	if err := errors.Join(err, closeErr); err != nil {
		return nil, err
	}
	f[job.Rejected] = float64(rejected)
	f[job.Lost] = float64(c.lost.Load())
	return f, nil
}

// open connects all clients and the publisher; the pool is to be closed unless it fails.
func (d *delivery) open(ctx context.Context) error {
	clients, err := newClients(ctx, d.job, d.layout.roomsOf)
	if err != nil {
		return err
	}
	c, err := newConnector(d.job)
	if err != nil {
		return err
	}
	if d.pool, err = newPool(c.protocol); err != nil {
		return err
	}
	if err = c.connect(ctx, clients, attempts, d.pool.add); err == nil {
		d.publisher, err = newPublisher(ctx, d.job)
	}
	if err != nil {
		d.pool.close()
	}
	return err
}

// measure publishes, first to warm up.
func (d *delivery) measure(ctx context.Context) (job.Figures, error) {
	if err := pause(ctx, d.job.Pause); err != nil {
		return nil, err
	}
	if err := d.publish(ctx, d.job.WarmupBatches); err != nil {
		return nil, err
	}
	server, load := d.job.Target.PID, os.Getpid()
	before, err := readAfter(ctx, d.job.Pause, server)
	if err != nil {
		return nil, err
	}
	loadBefore, err := proc.CPU(load)
	if err != nil {
		return nil, err
	}
	if err := d.publish(ctx, d.job.Batches); err != nil {
		return nil, err
	}
	loadAfter, err := proc.CPU(load)
	if err != nil {
		return nil, err
	}
	after, err := readAfter(ctx, trailing, server)
	if err != nil {
		return nil, err
	}
	counts, latency, err := d.pool.snapshot()
	if err != nil {
		return nil, err
	}
	delivered := float64(counts.deliveries)
	if delivered == 0 {
		return nil, errors.New("nothing arrived")
	}
	return job.Figures{
		job.CPU:        micros(after.CPU-before.CPU) / delivered,
		job.LoadCPU:    micros(loadAfter-loadBefore) / delivered,
		job.P50:        millis(latency.quantile(0.50)),
		job.P99:        millis(latency.quantile(0.99)),
		job.Max:        millis(latency.max),
		job.Deliveries: delivered,
		job.Missing:    float64(d.missing()),
		job.Disorder:   float64(counts.disorder),
		job.Gone:       float64(counts.gone),
	}, nil
}

// publish publishes batches at the job's pace and waits until all has arrived, or can't be expected any more.
func (d *delivery) publish(ctx context.Context, batches int) error {
	d.published, d.expected = make([]uint64, len(d.layout.rooms)), 0
	d.pool.reset()
	next := time.Now()
	for range batches {
		if err := d.publisher.publish(d.batch()); err != nil {
			return err
		}
		if d.job.Every == 0 {
			if err := d.arrive(ctx); err != nil {
				return err
			}
			continue
		}
		next = next.Add(d.job.Every)
		if err := pause(ctx, time.Until(next)); err != nil {
			return err
		}
	}
	return d.arrive(ctx)
}

// batch makes the next messages, all stamped with the same moment.
func (d *delivery) batch() []line.Message {
	batch := make([]line.Message, max(d.job.Batch, 1))
	now := d.pool.clock()
	for i := range batch {
		room := d.random.IntN(len(d.layout.rooms))
		d.sequence++
		d.published[room]++
		d.expected += uint64(len(d.layout.members[room]))
		batch[i] = line.Message{Room: d.layout.rooms[room], Payload: newPayload(d.sequence, now)}
	}
	return append(batch, d.extra...)
}

// arrive waits until all that was published has arrived. That something is missing is no error, but a figure.
func (d *delivery) arrive(ctx context.Context) error {
	return d.pool.await(ctx, d.expected, d.job.Patience)
}

// missing compares what each client has with what was published to its rooms, and adds the whole of those that have
// gone.
func (d *delivery) missing() uint64 {
	want := make([]uint64, d.job.Clients)
	var all uint64
	for room, n := range d.published {
		for _, i := range d.layout.members[room] {
			want[i] += n
			all += n
		}
	}
	var here uint64
	lacking := d.pool.missing(func(i int) uint64 {
		here += want[i]
		return want[i]
	})
	return lacking + all - here
}
