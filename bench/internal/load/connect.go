package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

const (
	// window is how many connections are opened at a time.
	window = 32
	// pollingWindow is larger: on some servers an upgrade waits for a timer.
	pollingWindow = 128
	// attempts is how often a client whose connection is lost tries again.
	attempts = 5
)

// connector connects clients. Its figures are complete once connect has returned.
type connector struct {
	dialer   *dialer
	protocol protocol
	window   int

	tried   atomic.Uint64
	lost    atomic.Uint64
	mu      sync.Mutex
	latency histogram // of the connections that came about
	reason  error     // why the last one was lost
}

func newConnector(j *job.Job) (*connector, error) {
	d, err := newDialer(j.Target.Listen)
	if err != nil {
		return nil, err
	}
	p, err := newProtocol(j.Target.Protocol, j.Polling)
	if err != nil {
		return nil, err
	}
	c := &connector{dialer: d, protocol: p, window: window}
	if j.Polling {
		c.window = pollingWindow
	}
	if j.Window > 0 {
		c.window = j.Window
	}
	return c, nil
}

// connect connects clients, each with several attempts if they are needed and allowed, and hands each to keep.
func (c *connector) connect(ctx context.Context, clients []client, attempts int, keep func(i int, s *stream) error) error {
	work := make(chan int)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var workers sync.WaitGroup
	for range c.window {
		workers.Go(func() {
			for i := range work {
				s, err := c.open(clients[i], attempts)
				if err == nil {
					err = keep(i, s)
				} else if attempts == 1 {
					continue // it is counted
				}
				if err != nil {
					fail(err)
				}
			}
		})
	}
	for i := range clients {
		select {
		case work <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// open connects one client.
func (c *connector) open(cl client, attempts int) (*stream, error) {
	var failed error
	for range attempts {
		begin := time.Now()
		c.tried.Add(1)
		s, err := c.protocol.open(c.dialer, cl)
		if err == nil {
			c.mu.Lock()
			c.latency.record(time.Since(begin))
			c.mu.Unlock()
			return s, nil
		}
		failed = err
		c.lost.Add(1)
		c.mu.Lock()
		c.reason = err
		c.mu.Unlock()
	}
	return nil, fmt.Errorf("a client could not connect in %d attempts: %w", attempts, failed)
}

// figures adds what is known about the connections; used is the CPU that they took.
func (c *connector) figures(f job.Figures, used time.Duration) {
	tried := float64(c.tried.Load())
	f[job.Connects] = tried
	f[job.Lost] = float64(c.lost.Load())
	f[job.ConnectCPU] = micros(used) / tried
	f[job.ConnectP99] = millis(c.latency.quantile(0.99))
}

// runConnect measures what connecting costs and whether connections are lost.
func runConnect(ctx context.Context, j *job.Job) (job.Figures, error) {
	clients, err := newClients(ctx, j, func(int) []string { return []string{everyone} })
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
	var mu sync.Mutex
	var open []*stream
	keep := func(_ int, s *stream) error {
		if j.Drop {
			s.close()
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		open = append(open, s)
		return nil
	}
	before, err := proc.Read(j.Target.PID)
	if err != nil {
		return nil, err
	}
	if err := c.connect(ctx, clients, 1, keep); err != nil {
		return nil, err
	}
	after, err := readAfter(ctx, j.Pause, j.Target.PID)
	for _, s := range open {
		s.close()
	}
	f := job.Figures{}
	c.figures(f, after.CPU-before.CPU)
	if f[job.Lost] == f[job.Connects] {
		return nil, errors.Join(err, fmt.Errorf("no client could connect: %w", c.reason))
	}
	return f, err
}

// connectAndDrop connects clients and closes them again, so that what a server does only once is done.
func connectAndDrop(ctx context.Context, j *job.Job, clients []client) error {
	c, err := newConnector(j)
	if err != nil {
		return err
	}
	err = c.connect(ctx, clients, attempts, func(_ int, s *stream) error {
		s.close()
		return nil
	})
	if err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	return pause(ctx, j.Pause)
}
