package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// dropped is the room of those who lose their connections.
const dropped = "dropped"

// storm is a Storm job that runs.
type storm struct {
	job    *job.Job
	d      *delivery // to those who stay
	lost   uint64    // messages that did not reach them
	counts counts
}

// beforeCut is how long all clients are connected before they are cut off: time enough to measure once.
const beforeCut = 2 * time.Second

// runStorm cuts off most of the clients at once, as a load balancer does that dies, and measures how soon they are back and what
// those who stayed notice of it. Those who come back are in a process of their own, so that it is only the server that they have in common.
func runStorm(ctx context.Context, j *job.Job) (job.Figures, error) {
	s := &storm{job: j, d: newDelivery(j)}
	if err := s.d.open(ctx); err != nil {
		return nil, err
	}
	defer s.d.pool.close()
	f, err := s.measure(ctx)
	_, closeErr := s.d.publisher.close()
	return f, errors.Join(err, closeErr)
}

func (s *storm) measure(ctx context.Context) (job.Figures, error) {
	if err := s.d.publish(ctx, s.job.WarmupBatches); err != nil {
		return nil, err
	}
	j := *s.job
	j.Kind, j.Settle = job.Comeback, beforeCut
	crowd, err := startChild(ctx, j, nil)
	if err != nil {
		return nil, err
	}
	defer crowd.kill()
	before, err := s.window(ctx)
	if err != nil {
		return nil, err
	}
	worst, err := s.until(ctx, crowd)
	if err != nil {
		return nil, err
	}
	stayed, err := s.rollCall(ctx)
	if err != nil {
		return nil, err
	}
	f, err := crowd.end()
	if err != nil {
		return nil, err
	}
	f[job.Clients] = float64(s.job.Clients + s.job.Dropped)
	f[job.P99], f[job.P99Stalled], f[job.Stayed] = before, worst, float64(stayed)
	f[job.Missing], f[job.Disorder], f[job.Gone] = float64(s.lost), float64(s.counts.disorder), float64(s.counts.gone)
	return f, nil
}

// until measures until all are back, or patience is at an end, and returns the largest p99 of those who stay.
func (s *storm) until(ctx context.Context, crowd *child) (worst float64, err error) {
	for {
		p99, err := s.window(ctx)
		if err != nil {
			return 0, err
		}
		worst = max(worst, p99)
		select {
		case <-crowd.connected:
			return worst, nil
		case <-crowd.ended:
			return 0, crowd.failure
		default:
		}
	}
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

// rollCall asks the server for whom a message is that goes to those who came back, and returns how many it lacks.
func (s *storm) rollCall(ctx context.Context) (int, error) {
	conn, err := dialControl(s.job)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answer, err := salav1.NewMessageServiceClient(conn).Emit(authorized(ctx, s.job), newEmit(dropped, newPayload(1, 0)))
	if err != nil {
		return 0, fmt.Errorf("emitting: %w", err)
	}
	return s.job.Dropped - int(answer.GetQueued()), nil
}
