package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

// clientEvent is the event that clients send. Its ack brings back its argument.
const clientEvent = "work"

// events is an Events job that runs.
type events struct {
	job      *job.Job
	pool     *pool
	conns    []int // file descriptors, by client
	sequence uint64
	hear     func(client int, packet []byte) // the pool's
}

// runEvents has clients send events whose acks bring back what was sent: first at a pace, for the latency, then as many at
// a time as the job says, for throughput and cost. Sala passes them on to a backend, which is here, over one stream;
// the others have a handler in their own process.
func runEvents(ctx context.Context, j *job.Job) (f job.Figures, err error) {
	e := &events{job: j, conns: make([]int, j.Clients)}
	if j.Target.Protocol == job.Sala {
		b, err := newBackend(ctx, j)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.close()) }()
	}
	if err := e.connect(ctx); err != nil {
		return nil, err
	}
	defer e.pool.close()
	if err := e.send(ctx, j.WarmupBatches, j.Batch, j.Every); err != nil {
		return nil, err
	}
	if err := e.send(ctx, j.Batches, j.Batch, j.Every); err != nil {
		return nil, err
	}
	paced, latency, err := e.pool.snapshot()
	if err != nil {
		return nil, err
	}
	f = job.Figures{
		job.P50:     millis(latency.quantile(0.50)),
		job.P99:     millis(latency.quantile(0.99)),
		job.Missing: float64(uint64(j.Batch*j.Batches) - paced.deliveries),
	}
	return f, e.flood(ctx, f)
}

func (e *events) connect(ctx context.Context) error {
	clients, err := newClients(ctx, e.job, func(int) []string { return nil })
	if err != nil {
		return err
	}
	c, err := newConnector(e.job)
	if err != nil {
		return err
	}
	if e.pool, err = newPool(c.protocol); err != nil {
		return err
	}
	e.pool.hear = e.hear
	err = c.connect(ctx, clients, attempts, func(i int, s *stream) error {
		e.conns[i] = s.fd
		return e.pool.add(i, s)
	})
	if err != nil {
		e.pool.close()
	}
	return err
}

// send has the clients, in turn, send batches of events, and waits until all are answered. Without a pace a batch is sent
// as soon as the one before is answered.
func (e *events) send(ctx context.Context, batches, batch int, every time.Duration) error {
	e.pool.reset()
	next := time.Now()
	for n := range batches {
		for range batch {
			e.sequence++
			if err := e.emit(int(e.sequence%uint64(len(e.conns))), e.sequence); err != nil {
				return err
			}
		}
		var err error
		if every > 0 {
			next = next.Add(every)
			err = pause(ctx, time.Until(next))
		} else {
			err = e.pool.await(ctx, uint64(batch*(n+1)), e.job.Patience)
		}
		if err != nil {
			return err
		}
	}
	return e.pool.await(ctx, uint64(batch*batches), e.job.Patience)
}

// emit has a client send the event of that number, with an ack of the same number.
func (e *events) emit(client int, number uint64) error {
	packet := fmt.Appendf(nil, `42%d[%q,%s]`, number, clientEvent, newPayload(number, e.pool.clock()))
	return e.pool.tell(e.conns[client], packet)
}

// flood measures throughput and cost.
func (e *events) flood(ctx context.Context, f job.Figures) error {
	if err := e.send(ctx, 1, e.job.InFlight, 0); err != nil {
		return err
	}
	server, load := e.job.Target.PID, os.Getpid()
	before, err := readAfter(ctx, e.job.Pause, server)
	if err != nil {
		return err
	}
	loadBefore, err := proc.CPU(load)
	if err != nil {
		return err
	}
	begin := time.Now()
	batches := e.job.Events / e.job.InFlight
	if err := e.send(ctx, batches, e.job.InFlight, 0); err != nil {
		return err
	}
	took := time.Since(begin)
	loadAfter, err := proc.CPU(load)
	if err != nil {
		return err
	}
	after, err := readAfter(ctx, trailing, server)
	if err != nil {
		return err
	}
	counts, _, err := e.pool.snapshot()
	if err != nil {
		return err
	}
	if counts.deliveries == 0 {
		return errors.New("no event was answered")
	}
	answered := float64(counts.deliveries)
	f[job.CPU] = micros(after.CPU-before.CPU) / answered
	f[job.LoadCPU] = micros(loadAfter-loadBefore) / answered
	f[job.Rate] = answered / took.Seconds()
	f[job.Missing] += float64(batches*e.job.InFlight) - answered
	f[job.Disorder], f[job.Gone] = float64(counts.disorder), float64(counts.gone)
	return nil
}
