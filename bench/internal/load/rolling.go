package load

import (
	"context"
	"fmt"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// drains are when servers were told to end, and when they had.
type drains struct{ begun, ended []time.Time }

// during reports whether a server was ending when a message came, or before it was answered.
func (d *drains) during(node int, e emission) bool {
	return e.answered.After(d.begun[node]) && e.begun.Before(d.ended[node])
}

// runRolling restarts all servers in good order, one after the other. What was accepted before a server was told to end
// must have reached its clients; all others must get everything all the while.
func runRolling(ctx context.Context, j *job.Job) (job.Figures, error) {
	d := &drains{begun: make([]time.Time, len(j.Servers)-1), ended: make([]time.Time, len(j.Servers)-1)}
	v := verdict{owed: func(e emission, s *span) bool { return !d.during(e.node, e) && !d.during(s.node, e) }}
	return runTrouble(ctx, j, v, func(t *trouble, ctx context.Context) error {
		for node := range t.stage.nodes {
			if err := t.restart(ctx, d, node); err != nil {
				return fmt.Errorf("server %d: %w", node+1, err)
			}
		}
		t.figures[job.Gone] = float64(t.witnesses.gone())
		t.figures[job.Unheard] = float64(t.witnesses.unheard())
		return nil
	})
}

func (t *trouble) restart(ctx context.Context, d *drains, node int) error {
	leaving := make(map[*witness]bool)
	for _, w := range t.witnesses.list {
		if s := w.connected(); s != nil && s.node == node {
			leaving[w] = true
		}
	}
	d.begun[node], d.ended[node] = time.Now(), time.Now().Add(time.Hour)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		t.stage.stopNode(node)
	}()
	took, err := t.witnesses.back(ctx, t.job.Patience, node)
	if err != nil {
		return err
	}
	t.most(job.Back, took.Seconds())
	<-stopped // it is killed if it takes too long
	d.ended[node] = time.Now()
	t.most(job.Ended, d.ended[node].Sub(d.begun[node]).Seconds())
	if err := t.stage.startNode(ctx, node); err != nil {
		return err
	}
	for w := range leaving {
		t.most(job.Away, w.away().Seconds())
	}
	_, err = t.whole(ctx)
	return err
}

// away returns how long the client was without a connection the last time.
func (w *witness) away() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.spans) < 2 {
		return 0
	}
	last := w.spans[len(w.spans)-2:]
	return last[1].from.Sub(last[0].to)
}

// unheard returns how many connections have ended without a goodbye.
func (ws *witnesses) unheard() (n int) {
	for _, w := range ws.list {
		w.mu.Lock()
		for _, s := range w.spans {
			if !s.to.IsZero() && !s.farewell {
				n++
			}
		}
		w.mu.Unlock()
	}
	return n
}
