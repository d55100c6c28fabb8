package load

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/line"
)

const (
	// stalling is the room of those who will stop to read.
	stalling = "stalling"
	// flood and trickle are how much they get with each message. The kernel alone takes in more than a megabyte for a
	// connection; then their queues are full after a few seconds, or their time is up before.
	flood, trickle = 8 << 10, 1 << 10
)

// stall is a Stall job that runs. Clients are two kinds: those who read all the time and are watched, and those who stop.
type stall struct {
	job     *job.Job
	d       *delivery // to those who read
	metrics *scraper
	lost    uint64 // messages that did not reach those who read
	counts  counts
	gone    float64 // clients that the server has counted as slow consumers
}

// runStall measures what clients that stop to read do to the others and to the server.
func runStall(ctx context.Context, j *job.Job) (job.Figures, error) {
	s := &stall{job: j, d: newDelivery(j), metrics: newScraper(j)}
	defer s.metrics.close()
	if err := s.d.open(ctx); err != nil {
		return nil, err
	}
	defer s.d.pool.close()
	f, err := s.measure(ctx)
	_, closeErr := s.d.publisher.close()
	return f, errors.Join(err, closeErr)
}

// measure has one crowd after the other come and stop to read, and compares the time before with the time after. What
// else happens on the machine changes slowly enough to meet both alike.
func (s *stall) measure(ctx context.Context) (job.Figures, error) {
	if err := s.d.publish(ctx, s.job.WarmupBatches); err != nil {
		return nil, err
	}
	f := job.Figures{job.Clients: float64(s.job.Clients)}
	var before, after, ratios []float64
	for round := range s.job.Rounds {
		extra := flood
		if round > 0 && round == s.job.Rounds-1 {
			extra = trickle
		}
		b, a, err := s.crowd(ctx, extra)
		if err != nil {
			return nil, err
		}
		before, after, ratios = append(before, b), append(after, a.p99), append(ratios, a.p99/b)
		f[job.Seconds] = max(f[job.Seconds], a.took.Seconds())
		f[job.Held] = max(f[job.Held], a.held)
		f[job.Stayed] += float64(a.stayed)
	}
	f[job.P99], f[job.P99Stalled], f[job.P99Ratio] = median(before), median(after), median(ratios)
	f[job.Uncounted] = max(0, float64(s.job.Rounds*s.job.Stalled)-s.gone)
	f[job.Missing], f[job.Disorder], f[job.Gone] = float64(s.lost), float64(s.counts.disorder), float64(s.counts.gone)
	return f, nil
}

// crowd connects those who will stop to read, measures, stops reading, and measures again.
func (s *stall) crowd(ctx context.Context, extra int) (before float64, after stopped, err error) {
	p, err := s.join(ctx)
	if err != nil {
		return 0, after, err
	}
	defer p.close()
	p99s := make([]float64, s.job.Windows)
	for i := range p99s {
		if p99s[i], err = s.window(ctx); err != nil {
			return 0, after, err
		}
	}
	after, err = s.stop(ctx, p, extra)
	return median(p99s), after, err
}

// join connects those who will stop to read. Their connections hold as little as a slow line's.
func (s *stall) join(ctx context.Context) (*pool, error) {
	j := *s.job
	j.Clients = j.Stalled
	clients, err := newClients(ctx, &j, func(int) []string { return []string{everyone, stalling} })
	if err != nil {
		return nil, err
	}
	c, err := newConnector(&j)
	if err != nil {
		return nil, err
	}
	c.dialer.narrow = true
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

// window measures once and returns the p99 of those who read, in ms.
func (s *stall) window(ctx context.Context) (p99 float64, err error) {
	if err := s.d.publish(ctx, s.job.Batches); err != nil {
		return 0, err
	}
	counts, latency, err := s.d.pool.snapshot()
	if err != nil {
		return 0, err
	}
	s.lost += s.d.missing()
	s.counts.disorder += counts.disorder
	s.counts.gone += counts.gone
	return millis(latency.quantile(0.99)), nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// stopped is what happened when clients stopped to read.
type stopped struct {
	p99    float64 // of the others, ms
	held   float64 // growth of the resident memory, KiB for each
	stayed int
	took   time.Duration // until the last was gone
}

// stop stops reading from the clients, sends them extra bytes with each message, and goes on with the others until the
// server has given the clients up.
func (s *stall) stop(ctx context.Context, p *pool, extra int) (stopped, error) {
	before, err := s.metrics.read(ctx)
	if err != nil {
		return stopped{}, err
	}
	largest := before[residentMemory]
	p.halt()
	s.d.extra = []line.Message{{Room: stalling, Payload: []byte(`"` + strings.Repeat("x", extra) + `"`)}}
	defer func() { s.d.extra = nil }()
	begin := time.Now()
	var result stopped
	var p99s []float64
	want := s.gone + float64(s.job.Stalled)
	for gone := false; len(p99s) < s.job.Windows || !gone && time.Since(begin) < s.job.Patience; {
		p99, err := s.window(ctx)
		if err != nil {
			return result, err
		}
		p99s = append(p99s, p99)
		m, err := s.metrics.read(ctx)
		if err != nil {
			return result, err
		}
		largest = max(largest, m[residentMemory])
		if !gone {
			gone = m[slowConsumers] >= want && m[openConnections] <= float64(s.job.Clients)
			result.took = time.Since(begin)
		}
		s.gone = m[slowConsumers]
	}
	result.p99 = median(p99s)
	result.held = (largest - before[residentMemory]) / 1024 / float64(s.job.Stalled)
	result.stayed, err = p.unended(ctx)
	return result, err
}

// unended reads what is left on the connections of a pool that was halted, and returns how many have no end.
func (p *pool) unended(ctx context.Context) (int, error) {
	fds := slices.Collect(maps.Keys(p.conns))
	var n atomic.Int64
	err := inParallel(ctx, window, len(fds), func(_ context.Context, i int) error {
		if err := unix.SetNonblock(fds[i], false); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, readFD(fds[i])); err != nil && !errors.Is(err, unix.ECONNRESET) {
			n.Add(1) // it takes too long
		}
		return nil
	})
	return int(n.Load()), err
}
