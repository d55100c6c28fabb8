package load

import (
	"context"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

// runHold connects clients, leaves them alone and measures the memory that they take. Then it publishes once, to see
// that they are all still there.
func runHold(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	d := newDelivery(j)
	clients, err := newClients(ctx, j, d.layout.roomsOf)
	if err != nil {
		return nil, err
	}
	if err := connectAndDrop(ctx, j, clients[:min(j.Warmup, len(clients))]); err != nil {
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
	empty, err := proc.Read(j.Target.PID)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx, clients, attempts, d.pool.add); err != nil {
		return nil, err
	}
	fresh, err := readAfter(ctx, j.Pause, j.Target.PID)
	if err != nil {
		return nil, err
	}
	connected()
	settled, err := readAfter(ctx, j.Settle, j.Target.PID)
	if err != nil {
		return nil, err
	}
	f := job.Figures{
		job.RSSFresh: kib(fresh.RSS-empty.RSS) / float64(j.Clients),
		job.RSS:      kib(settled.RSS-empty.RSS) / float64(j.Clients),
	}
	c.figures(f, fresh.CPU-empty.CPU)
	return f, d.rollCall(ctx, f)
}

// rollCall publishes one message to all.
func (d *delivery) rollCall(ctx context.Context, f job.Figures) error {
	counts, _, err := d.pool.snapshot()
	if err != nil {
		return err
	}
	f[job.Gone] = float64(counts.gone)
	if d.publisher, err = newPublisher(ctx, d.job); err != nil {
		return err
	}
	if err := d.publish(ctx, 1); err != nil {
		return err
	}
	f[job.Missing] = float64(d.missing())
	_, err = d.publisher.close()
	return err
}
