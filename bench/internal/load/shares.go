package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

const (
	// probeEvery is how often the server is asked whether it is well, and how often the other key emits.
	probeEvery = 100 * time.Millisecond
	// probeTimeout is how long that may take, as for the probes of orchestrators.
	probeTimeout = time.Second
)

// runShares measures what each grab does to others: to clients, to another key, to probes.
func runShares(ctx context.Context, j *job.Job) (job.Figures, error) {
	o, err := newObserver(j)
	if err != nil {
		return nil, err
	}
	defer o.close()
	h := &hostile{observer: o, job: j, kind: job.Grab, d: newDelivery(j)}
	if err := h.d.open(ctx); err != nil {
		return nil, err
	}
	defer h.d.pool.close()
	watching, stop := context.WithCancel(ctx)
	w := watchShares(watching, j)
	f, err := h.measureShares(ctx, w)
	stop()
	w.running.Wait()
	if err != nil {
		return nil, errors.Join(err, w.last)
	}
	if _, err := h.d.publisher.close(); err != nil { // one of its messages was refused
		f[job.Denied]++
	}
	return f, nil
}

func (h *hostile) measureShares(ctx context.Context, w *shareWatch) (job.Figures, error) {
	if err := h.d.publish(ctx, h.job.WarmupBatches); err != nil {
		return nil, err
	}
	f := job.Figures{job.Clients: float64(h.job.Clients)}
	for _, g := range grabs {
		if err := h.suffer(ctx, f, g.name, h.job.Batches, g.name); err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		f[job.P99Ratio] = max(f[job.P99Ratio], f[job.Of(job.P99Ratio, g.name)])
		w.tell(f, g.name)
	}
	f[job.Missing], f[job.Disorder], f[job.Gone] = float64(h.lost), float64(h.counts.disorder), float64(h.counts.gone)
	var err error
	f[job.Faulty], err = faulty(h.job)
	return f, err
}

// shareWatch watches what must not be anybody's alone. Its figures are complete once running is done.
type shareWatch struct {
	job     *job.Job
	running sync.WaitGroup

	mu                     sync.Mutex
	probes, unwell, denied int   // since they were last told
	last                   error // of what failed
	resident               int64 // at the most since then, bytes
}

// tell adds what was watched during one grab.
func (w *shareWatch) tell(f job.Figures, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resident := float64(w.resident) / (1 << 20)
	f[job.Of(job.Resident, name)], f[job.Resident] = resident, max(f[job.Resident], resident)
	for figure, n := range map[string]*int{job.Probes: &w.probes, job.Unwell: &w.unwell, job.Denied: &w.denied} {
		f[job.Of(figure, name)] = float64(*n)
		f[figure] += float64(*n)
		*n = 0
	}
	w.resident = 0
}

// watchShares begins to watch, until ctx ends.
func watchShares(ctx context.Context, j *job.Job) *shareWatch {
	w := &shareWatch{job: j}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	w.repeat(ctx, &w.unwell, func(ctx context.Context) error { return w.live(ctx, client) })
	w.repeat(ctx, &w.unwell, w.healthy)
	w.repeat(ctx, &w.denied, func(ctx context.Context) error {
		return postEmit(ctx, client, &j.Target, "nobody", []byte("1"))
	})
	w.running.Go(func() {
		for pause(ctx, probeEvery/5) == nil {
			rss, err := proc.RSS(j.Target.PID)
			w.mu.Lock()
			w.resident = max(w.resident, rss)
			w.last = errors.Join(w.last, err)
			w.mu.Unlock()
		}
	})
	return w
}

// repeat calls what must work, and counts how often it doesn't.
func (w *shareWatch) repeat(ctx context.Context, failures *int, call func(context.Context) error) {
	w.running.Go(func() {
		for pause(ctx, probeEvery) == nil {
			within, cancel := context.WithTimeout(ctx, probeTimeout)
			err := call(within)
			cancel()
			if ctx.Err() != nil {
				return
			}
			w.mu.Lock()
			w.probes++
			if err != nil {
				*failures++
				w.last = err
			}
			w.mu.Unlock()
		}
	})
}

func (w *shareWatch) live(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.job.Target.HTTP+"/livez", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/livez: %s", answer.Status)
	}
	return nil
}

func (w *shareWatch) healthy(ctx context.Context) error {
	conn, err := dialControl(w.job)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err == nil && answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("the health service says %s", answer.GetStatus())
	}
	return err
}
