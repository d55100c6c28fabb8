package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
	"github.com/salabroker/sala/bench/internal/proc"
)

// hostile is a Hostile job that runs.
type hostile struct {
	*observer
	job     *job.Job
	kind    job.Kind  // of the process that attacks
	d       *delivery // to the neighbours of those who attack
	lost    uint64    // messages that did not reach them
	counts  counts
	largest float64 // resident memory, bytes
}

// allAtOnce is the name of all attacks together.
const allAtOnce = "all of them at once"

// tolerated is the ratio of p99s above which an attack is measured again, since it may have been another process.
const tolerated = 1.15

// runHostile measures what each attack does to clients that have done nothing wrong, and what it costs the server.
func runHostile(ctx context.Context, j *job.Job) (job.Figures, error) {
	o, err := newObserver(j)
	if err != nil {
		return nil, err
	}
	defer o.close()
	h := &hostile{observer: o, job: j, kind: job.Attack, d: newDelivery(j)}
	if err := h.d.open(ctx); err != nil {
		return nil, err
	}
	defer h.d.pool.close()
	f, err := h.measure(ctx)
	_, closeErr := h.d.publisher.close()
	return f, errors.Join(err, closeErr)
}

func (h *hostile) measure(ctx context.Context) (job.Figures, error) {
	if err := h.d.publish(ctx, h.job.WarmupBatches); err != nil {
		return nil, err
	}
	before, err := h.settle(ctx, always)
	if err != nil {
		return nil, err
	}
	f := job.Figures{job.Clients: float64(h.job.Clients)}
	var names []string
	for _, a := range attacks {
		names = append(names, a.name)
		if err := h.suffer(ctx, f, a.name, h.job.Batches, a.name); err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		f[job.P99Ratio] = max(f[job.P99Ratio], f[job.Of(job.P99Ratio, a.name)])
	}
	if err := h.suffer(ctx, f, allAtOnce, 2*h.job.Batches, names...); err != nil {
		return nil, fmt.Errorf("%s: %w", allAtOnce, err)
	}
	f[job.AtOnce] = f[job.Of(job.P99Ratio, allAtOnce)]
	after, err := h.settle(ctx, func(m metrics) bool {
		return m[openConnections] <= float64(h.job.Clients) && m[goroutines] <= before[goroutines]+float64(job.KeptReaders*runtime.NumCPU()) && m[openFiles] <= before[openFiles]
	})
	if err != nil {
		return nil, err
	}
	f[job.Held] = max(0, h.largest-before[residentMemory]) / 1024
	f[job.MoreGos] = after[goroutines] - before[goroutines]
	f[job.MoreFiles] = after[openFiles] - before[openFiles]
	f[job.MoreHeap] = (after.liveHeap() - before.liveHeap()) / 1024
	f[job.Listed] = after[openConnections] - float64(h.job.Clients)
	f[job.Missing], f[job.Disorder], f[job.Gone] = float64(h.lost), float64(h.counts.disorder), float64(h.counts.gone)
	f[job.Faulty], err = faulty(h.job)
	return f, err
}

// suffer measures one attack, or several at once: in turn with and without it, so that what else happens on the machine meets
// both alike. If it seems to slow the neighbours down, that is measured again, and all of it counts.
func (h *hostile) suffer(ctx context.Context, f job.Figures, name string, batches int, attacks ...string) error {
	var quiet, busy []float64
	total := job.Figures{}
	for round := 0; round < h.job.Rounds || round < h.job.Windows && median(busy)/median(quiet) > tolerated; round++ {
		b, attacked, figures, err := h.attacked(ctx, batches, attacks)
		if err != nil {
			return err
		}
		q, idle, err := h.unattacked(ctx, batches, figures)
		if err != nil {
			return err
		}
		quiet, busy = append(quiet, q), append(busy, b)
		for figure, value := range figures {
			total[figure] += value
		}
		total[job.CPU] += micros(attacked - idle)
	}
	f[job.Of(job.P99Ratio, name)] = median(busy) / median(quiet)
	f[job.Of(job.P99, name)] = median(busy)
	f[job.Of(job.Rate, name)] = total[job.Blows] / total[job.Seconds]
	f[job.Of(job.Bytes, name)] = total[job.Bytes] / total[job.Seconds]
	f[job.Of(job.Gone, name)] = (total[job.Gone] + total[job.Refused]) / total[job.Seconds]
	f[job.Of(job.CPU, name)] = max(0, total[job.CPU]) / max(1, total[job.Blows])
	f[job.Of(job.LoadCPU, name)] = total[job.LoadCPU] / max(1, total[job.Blows])
	return nil
}

// attacked measures while attacks go on, which another process carries out.
func (h *hostile) attacked(ctx context.Context, batches int, attacks []string) (p99 float64, cpu time.Duration, f job.Figures, err error) {
	j := *h.job
	j.Kind, j.Attacks = h.kind, attacks
	attacker, err := startChild(ctx, j, nil)
	if err != nil {
		return 0, 0, nil, err
	}
	p99, cpu, err = h.window(ctx, batches)
	f, endErr := attacker.end()
	if err = errors.Join(err, endErr); err != nil {
		return 0, 0, nil, err
	}
	m, err := h.metrics.read(ctx)
	h.largest = max(h.largest, m[residentMemory])
	return p99, cpu, f, err
}

// unattacked measures while another process takes of the machine what the attacker did: a ratio to that is what the server suffers.
func (h *hostile) unattacked(ctx context.Context, batches int, attacker job.Figures) (p99 float64, cpu time.Duration, err error) {
	burner, err := startChild(ctx, burnOf(h.job, attacker), nil)
	if err != nil {
		return 0, 0, err
	}
	p99, cpu, err = h.window(ctx, batches)
	_, endErr := burner.end()
	return p99, cpu, errors.Join(err, endErr)
}

// window measures once: the p99 of the neighbours, in ms, and the server's CPU.
func (h *hostile) window(ctx context.Context, batches int) (p99 float64, cpu time.Duration, err error) {
	before, err := proc.CPU(h.job.Target.PID)
	if err != nil {
		return 0, 0, err
	}
	if err := h.d.publish(ctx, batches); err != nil {
		return 0, 0, err
	}
	after, err := proc.CPU(h.job.Target.PID)
	if err != nil {
		return 0, 0, err
	}
	counts, latency, err := h.d.pool.snapshot()
	h.lost += h.d.missing()
	h.counts.disorder += counts.disorder
	h.counts.gone += counts.gone
	return millis(latency.quantile(0.99)), after - before, err
}

// faulty returns how many lines of the server's log say that the server is at fault.
func faulty(j *job.Job) (n float64, err error) {
	text, err := os.ReadFile(j.Target.Log)
	for line := range bytes.Lines(text) {
		for _, word := range []string{"level=ERROR", "panic", "fatal error"} {
			if bytes.Contains(line, []byte(word)) {
				n++
				break
			}
		}
	}
	return n, err
}
