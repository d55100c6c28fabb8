package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// dropped is the room of those who lose their connections.
const dropped = "dropped"

// storm is a Storm job that runs.
type storm struct {
	job    *job.Job
	d      *delivery // to those who stay
	crowd  []client
	lost   uint64 // messages that did not reach those who stay
	counts counts
}

// runStorm cuts off most of the clients at once, as a load balancer does that dies, and measures how soon they are back and what
// those who stayed notice of it.
func runStorm(ctx context.Context, j *job.Job) (job.Figures, error) {
	s := &storm{job: j, d: newDelivery(j)}
	if err := s.d.open(ctx); err != nil {
		return nil, err
	}
	defer s.d.pool.close()
	crowd := *j
	crowd.Clients = j.Dropped
	var err error
	if s.crowd, err = newClients(ctx, &crowd, func(int) []string { return []string{dropped} }); err != nil {
		return nil, err
	}
	f, err := s.measure(ctx)
	_, closeErr := s.d.publisher.close()
	return f, errors.Join(err, closeErr)
}

func (s *storm) measure(ctx context.Context) (job.Figures, error) {
	there, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.d.publish(ctx, s.job.WarmupBatches); err != nil {
		there.close()
		return nil, err
	}
	before, err := s.window(ctx)
	if err != nil {
		there.close()
		return nil, err
	}
	used, err := proc.CPU(s.job.Target.PID)
	if err != nil {
		return nil, err
	}
	back, err := newReturning(s.job.Target.Listen, s.crowd)
	if err != nil {
		return nil, err
	}
	there.close()
	back.start()
	defer back.stop()
	f := job.Figures{job.Clients: float64(s.job.Clients + s.job.Dropped), job.P99: before}
	for begin := time.Now(); back.missing() > 0 && time.Since(begin) < s.job.Patience; {
		p99, err := s.window(ctx)
		if err != nil {
			return nil, err
		}
		f[job.P99Stalled] = max(f[job.P99Stalled], p99)
	}
	after, err := proc.CPU(s.job.Target.PID)
	if err != nil {
		return nil, err
	}
	f[job.Seconds] = (after - used).Seconds()
	back.figures(f)
	f[job.Missing], f[job.Disorder], f[job.Gone] = float64(s.lost), float64(s.counts.disorder), float64(s.counts.gone)
	return f, s.rollCall(ctx, f)
}

// connect connects those who will lose their connections.
func (s *storm) connect(ctx context.Context) (*pool, error) {
	c, err := newConnector(s.job)
	if err != nil {
		return nil, err
	}
	p, err := newPool(c.protocol)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx, s.crowd, attempts, p.add); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// window measures once and returns the p99 of those who stay, in ms.
func (s *storm) window(ctx context.Context) (float64, error) {
	if err := s.d.publish(ctx, s.job.Batches); err != nil {
		return 0, err
	}
	counts, latency, err := s.d.pool.snapshot()
	s.lost += s.d.missing()
	s.counts.disorder += counts.disorder
	s.counts.gone += counts.gone
	return millis(latency.quantile(0.99)), err
}

// rollCall asks the server for whom a message is that goes to those who came back.
func (s *storm) rollCall(ctx context.Context, f job.Figures) error {
	conn, err := dialControl(s.job)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := salav1.NewMessageServiceClient(conn).Emit(authorized(ctx, s.job), newEmit(dropped, newPayload(1, 0)))
	if err != nil {
		return fmt.Errorf("emitting: %w", err)
	}
	f[job.Stayed] = float64(s.job.Dropped) - float64(answer.GetQueued())
	return nil
}
