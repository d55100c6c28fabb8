package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// clientEvent is the event that clients send. Its ack brings back its argument.
const clientEvent = "work"

// events is an Events job that runs.
type events struct {
	job      *job.Job
	pool     *pool
	conns    []int // file descriptors, by client
	sequence uint64
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
			packet := fmt.Appendf(nil, `42%d[%q,%s]`, e.sequence, clientEvent, newPayload(e.sequence, e.pool.clock()))
			if err := e.pool.tell(e.conns[e.sequence%uint64(len(e.conns))], packet); err != nil {
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

// backend answers the events that Sala passes on, over one stream.
type backend struct {
	conn   *grpc.ClientConn
	stream grpc.BidiStreamingClient[salav1.SubscribeRequest, salav1.SubscribeResponse]
	closed atomic.Bool
	ended  chan error
}

// credits is how many events may be on their way to the backend; half of them are renewed at a time.
const credits = 4096

func newBackend(ctx context.Context, j *job.Job) (*backend, error) {
	conn, err := dialControl(j)
	if err != nil {
		return nil, err
	}
	b := &backend{conn: conn, ended: make(chan error, 1)}
	b.stream, err = salav1.NewEventServiceClient(conn).Subscribe(authorized(ctx, j))
	if err == nil {
		err = b.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Start{Start: &salav1.SubscribeStart{
			Group: "bench", Events: []string{clientEvent}, Kinds: []salav1.EventKind{salav1.EventKind_EVENT_KIND_MESSAGE}, Credits: credits,
		}}})
	}
	if err == nil {
		_, err = b.stream.Recv() // it has started
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	go func() { b.ended <- b.answer() }()
	return b, nil
}

// answer answers each event with its own arguments.
func (b *backend) answer() error {
	used := 0
	for {
		response, err := b.stream.Recv()
		if err != nil {
			if b.closed.Load() {
				return nil
			}
			return fmt.Errorf("the event stream: %w", err)
		}
		event := response.GetEvent()
		if event == nil {
			return fmt.Errorf("the event stream: %v", response)
		}
		err = b.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Reply{Reply: &salav1.EventReply{
			DeliveryId: event.GetDeliveryId(), ArgsJson: event.GetArgsJson(),
		}}})
		if used++; err == nil && used == credits/2 {
			used = 0
			err = b.stream.Send(&salav1.SubscribeRequest{Request: &salav1.SubscribeRequest_Credit{Credit: &salav1.EventCredit{Credits: credits / 2}}})
		}
		if err != nil {
			return fmt.Errorf("the event stream: %w", err)
		}
	}
}

// close ends the stream and returns why it ended before, if it did.
func (b *backend) close() error {
	b.closed.Store(true)
	b.conn.Close()
	return <-b.ended
}
