package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/salabroker/sala/bench/internal/job"
	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// way is one of the ways in which a client can be there when it is cut off.
type way struct {
	name string
	// open brings a client into the state and returns its connections, to be cut off.
	open func(d *dialer, c client) ([]*stream, error)
	// reset says that TCP's connections are reset rather than ended.
	reset bool
}

// ways are taken in turn.
var ways = []way{
	{"websocket, reset", openOne, true},
	{"websocket, ended", openOne, false},
	{"upgraded, reset", openUpgraded, true},
	{"upgraded, ended", openUpgraded, false},
	{"a poll pending, reset", openPending, true},
	{"a poll pending, ended", openPending, false},
	{"between two polls, ended", openBetweenPolls, false},
	{"in the middle of an upgrade, reset", openProbing, true},
	{"before its connect, reset", openSilent, true},
	{"before its connect, ended", openSilent, false},
}

func openOne(d *dialer, c client) ([]*stream, error) {
	s, _, err := openSocket(d, c)
	return one(s, err)
}

func openUpgraded(d *dialer, c client) ([]*stream, error) {
	s, err := socketIO{polling: true}.open(d, c)
	return one(s, err)
}

func openPending(d *dialer, c client) ([]*stream, error) {
	p, _, err := openPolling(d, c)
	if err != nil {
		return nil, err
	}
	return []*stream{p.s}, p.ask()
}

func openBetweenPolls(d *dialer, c client) ([]*stream, error) {
	p, _, err := openPolling(d, c)
	if err != nil {
		return nil, err
	}
	return []*stream{p.s}, nil
}

func openProbing(d *dialer, c client) ([]*stream, error) {
	p, _, err := openPolling(d, c)
	if err != nil {
		return nil, err
	}
	s, err := p.probe(d)
	if err != nil {
		p.close()
		return nil, err
	}
	return []*stream{p.s, s}, nil
}

// openSilent gets as far as the server's first packet.
func openSilent(d *dialer, _ client) ([]*stream, error) {
	s, err := openWebSocket(d, enginePath+"websocket", func(s *stream) error {
		_, err := s.message()
		return err
	})
	return one(s, err)
}

func one(s *stream, err error) ([]*stream, error) {
	if err != nil {
		return nil, err
	}
	return []*stream{s}, nil
}

// cut is a Cut job that runs.
type cut struct {
	*observer
	job     *job.Job
	dialer  *dialer
	clients []client
}

// runCut connects clients and cuts them off, all at once and without a word of goodbye, and looks at what the server
// still has of them when it has noticed. A first crowd makes it build tables that stay, so for the heap it is later ones
// that tell.
func runCut(ctx context.Context, j *job.Job) (job.Figures, error) {
	o, err := newObserver(j)
	if err != nil {
		return nil, err
	}
	defer o.close()
	c := &cut{observer: o, job: j}
	if c.clients, err = newClients(ctx, j, func(int) []string { return []string{everyone} }); err != nil {
		return nil, err
	}
	if c.dialer, err = newDialer(j.Target.Listen); err != nil {
		return nil, err
	}
	if _, err := c.round(ctx, min(j.Warmup, j.Clients)); err != nil {
		return nil, fmt.Errorf("warming up: %w", err)
	}
	before, err := c.settle(ctx, always)
	if err != nil {
		return nil, err
	}
	f := job.Figures{}
	var first, last metrics
	for range j.Rounds {
		peak, err := c.round(ctx, j.Clients)
		if err != nil {
			return nil, err
		}
		f[job.Goroutines] = max(f[job.Goroutines], peak[goroutines])
		f[job.OpenFiles] = max(f[job.OpenFiles], peak[openFiles])
		f[job.Heap] = max(f[job.Heap], peak.liveHeap()/1024)
		last, err = c.settle(ctx, func(m metrics) bool {
			return m[goroutines] <= before[goroutines]+float64(job.KeptReaders*runtime.NumCPU()) && m[openFiles] <= before[openFiles]
		})
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = last
		}
	}
	f[job.Clients] = float64(j.Clients)
	f[job.MoreGos] = last[goroutines] - before[goroutines]
	f[job.MoreFiles] = last[openFiles] - before[openFiles]
	f[job.HeapOnce] = (first.liveHeap() - before.liveHeap()) / 1024
	f[job.MoreHeap] = (last.liveHeap() - first.liveHeap()) / 1024
	listed, err := salav1.NewSocketServiceClient(c.control).ListSockets(authorized(ctx, j), &salav1.ListSocketsRequest{})
	f[job.Listed] = last[openSockets] + last[openConnections] + float64(len(listed.GetSockets()))
	return f, err
}

// round connects so many clients, cuts them off, and waits until the server has noticed. It returns the metrics from
// when all were there.
func (c *cut) round(ctx context.Context, n int) (metrics, error) {
	held := make([][]*stream, n)
	err := inParallel(ctx, window, n, func(_ context.Context, i int) (err error) {
		w := ways[i%len(ways)]
		if held[i], err = w.open(c.dialer, c.clients[i]); err != nil {
			err = fmt.Errorf("%s: %w", w.name, err)
		}
		return err
	})
	peak, readErr := c.metrics.read(ctx)
	for i, streams := range held {
		for _, s := range streams {
			if ways[i%len(ways)].reset {
				s.reset()
			} else {
				s.close()
			}
		}
	}
	if err := errors.Join(err, readErr); err != nil {
		return nil, err
	}
	_, err = c.metrics.await(ctx, c.job.Patience, func(m metrics) bool { return m[openConnections] == 0 && m[openSockets] == 0 })
	return peak, err
}
