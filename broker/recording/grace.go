package recording

import (
	"context"
	"sync"
)

// grace lets others wait until everything that has begun is over, however much begins after that.
// What begins belongs to the newest phase. Whoever waits has a new phase begin, and waits for the
// end of the ones before.
//
// Beginning and ending take a lock for a moment and allocate nothing. The zero grace isn't ready: see
// newGrace.
type grace struct {
	mu     sync.Mutex
	oldest *phase // that isn't over
	last   *phase // the one before the newest; it may be over
	newest *phase
}

// phase is guarded by grace.mu.
type phase struct {
	running int
	next    *phase        // nil for the newest
	over    chan struct{} // closed when this phase and those before it are over; nil for the newest
}

func newGrace() grace {
	p := new(phase)
	return grace{oldest: p, newest: p}
}

// begin notes that something begins. Its end is to be called with the result.
func (g *grace) begin() *phase {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.newest.running++
	return g.newest
}

// end notes that something is over that began in the phase.
func (g *grace) end(p *phase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.running--
	for g.oldest != g.newest && g.oldest.running == 0 {
		close(g.oldest.over)
		g.oldest = g.oldest.next
	}
}

// await returns when everything is over that had begun before the call, or the error of ctx if that
// ends first.
func (g *grace) await(ctx context.Context) error {
	over := g.lastOver()
	if over == nil {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lastOver returns the channel that is closed when everything that has begun is over; nil if that is
// so already.
func (g *grace) lastOver() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.newest.running > 0:
		g.last, g.newest = g.newest, new(phase)
		g.last.next, g.last.over = g.newest, make(chan struct{})
	case g.oldest == g.newest:
		return nil
	}
	return g.last.over // also if nothing has begun since somebody else began to wait
}
