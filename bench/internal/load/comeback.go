package load

import (
	"context"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

// runComeback connects clients, cuts all of them off after a while, and has them come back. It says when they are connected, and when
// they are so again or patience is at an end; then it keeps them until it is told to end.
func runComeback(ctx context.Context, j *job.Job, connected func()) (job.Figures, error) {
	crowd := *j
	crowd.Clients = j.Dropped
	clients, err := newClients(ctx, &crowd, func(int) []string { return []string{dropped} })
	if err != nil {
		return nil, err
	}
	back, err := newReturning(j.Target.Listen, clients)
	if err != nil {
		return nil, err
	}
	there, err := connectAll(ctx, j, clients)
	if err != nil {
		return nil, err
	}
	connected()
	if err := pause(ctx, j.Settle); err != nil {
		there.close()
		return nil, err
	}
	before, err := proc.CPU(j.Target.PID)
	if err != nil {
		return nil, err
	}
	there.close()
	back.start()
	defer back.stop()
	for begin := time.Now(); back.missing() > 0 && time.Since(begin) < j.Patience; {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	after, err := proc.CPU(j.Target.PID)
	if err != nil {
		return nil, err
	}
	f := job.Figures{job.Seconds: (after - before).Seconds()}
	back.figures(f)
	connected()
	<-ctx.Done()
	return f, nil
}

// connectAll connects clients and reads from them.
func connectAll(ctx context.Context, j *job.Job, clients []client) (*pool, error) {
	c, err := newConnector(j)
	if err != nil {
		return nil, err
	}
	p, err := newPool(c.protocol)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx, clients, attempts, p.add); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}
