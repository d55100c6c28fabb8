package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

const (
	// callers is how many calls are in flight.
	callers = 8
	// streamWindow is how many messages of a stream may be unanswered.
	streamWindow = 1024
)

// control is a Control job that runs. Its messages go to a room of one.
type control struct {
	job      *job.Job
	pool     *pool // nil if there are no clients
	sequence atomic.Uint64
	sent     uint64
}

// runControl calls the control API and measures what a call costs.
func runControl(ctx context.Context, j *job.Job) (job.Figures, error) {
	c := &control{job: j}
	if j.Target.Protocol != job.GRPC {
		if err := c.connect(ctx); err != nil {
			return nil, err
		}
		defer c.pool.close()
	}
	f := job.Figures{}
	for _, way := range []struct {
		figure string
		calls  int
		call   func(ctx context.Context, calls int) error
	}{
		{job.UnaryCPU, j.Unary, c.unary},
		{job.StreamCPU, j.Stream, c.stream},
		{job.RESTCPU, j.REST, c.rest},
	} {
		if way.calls == 0 {
			continue
		}
		cost, err := c.measure(ctx, way.calls, way.call)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.figure, err)
		}
		f[way.figure] = cost
	}
	if c.pool != nil {
		counts, _, err := c.pool.snapshot()
		if err != nil {
			return nil, err
		}
		f[job.Missing] = float64(c.sent - counts.deliveries)
	}
	return f, nil
}

func (c *control) connect(ctx context.Context) error {
	clients, err := newClients(ctx, c.job, func(int) []string { return []string{everyone} })
	if err != nil {
		return err
	}
	connector, err := newConnector(c.job)
	if err != nil {
		return err
	}
	if c.pool, err = newPool(connector.protocol); err != nil {
		return err
	}
	return connector.connect(ctx, clients, attempts, c.pool.add)
}

// measure returns the server's CPU per call, in microseconds.
func (c *control) measure(ctx context.Context, calls int, call func(context.Context, int) error) (float64, error) {
	if err := call(ctx, c.job.Warmup); err != nil {
		return 0, err
	}
	c.sent += uint64(c.job.Warmup)
	before, err := readAfter(ctx, c.job.Pause, c.job.Target.PID)
	if err != nil {
		return 0, err
	}
	if err := call(ctx, calls); err != nil {
		return 0, err
	}
	c.sent += uint64(calls)
	if err := c.arrive(ctx); err != nil {
		return 0, err
	}
	after, err := readAfter(ctx, trailing, c.job.Target.PID)
	return micros(after.CPU-before.CPU) / float64(calls), err
}

// arrive waits until the client has got everything, or nothing more can be expected.
func (c *control) arrive(ctx context.Context) error {
	if c.pool == nil {
		return nil
	}
	return c.pool.await(ctx, c.sent, c.job.Patience)
}

func (c *control) payload() []byte {
	var now time.Duration
	if c.pool != nil {
		now = c.pool.clock()
	}
	return newPayload(c.sequence.Add(1), now)
}

// unary calls Emit, several at a time over one connection.
func (c *control) unary(ctx context.Context, calls int) error {
	conn, err := dialControl(c.job)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = authorized(ctx, c.job)
	messages := salav1.NewMessageServiceClient(conn)
	return c.concurrently(ctx, calls, func(ctx context.Context) error {
		_, err := messages.Emit(ctx, newEmit(everyone, c.payload()))
		return err
	})
}

// rest posts to /v1/emit, several at a time over as many connections.
func (c *control) rest(ctx context.Context, calls int) error {
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	return c.concurrently(ctx, calls, func(ctx context.Context) error {
		return postEmit(ctx, client, &c.job.Target, everyone, c.payload())
	})
}

// postEmit emits over REST.
func postEmit(ctx context.Context, client *http.Client, target *job.Target, room string, payload []byte) error {
	body := fmt.Appendf(nil, `{"rooms":[%q],"event":%q,"args":[%s]}`, room, event, payload)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target.HTTP+"/v1/emit", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+target.APIKey)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, text)
	}
	return err
}

// concurrently makes calls, several at a time.
func (c *control) concurrently(ctx context.Context, calls int, call func(context.Context) error) error {
	return inParallel(ctx, callers, calls, func(ctx context.Context, _ int) error { return call(ctx) })
}

// stream sends over one EmitStream, as fast as it is answered.
func (c *control) stream(ctx context.Context, calls int) error {
	p, err := newStreamPublisher(ctx, c.job)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	for range calls {
		for p.sequence-p.answers.Load() >= streamWindow {
			if err := p.answered(ctx); err != nil {
				return err
			}
		}
		if err := p.publish([]line.Message{{Room: everyone, Payload: c.payload()}}); err != nil {
			return err
		}
	}
	_, err = p.close()
	return err
}
