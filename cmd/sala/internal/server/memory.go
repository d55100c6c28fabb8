package server

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// quietLook is how often the node looks whether it is quiet.
	quietLook = 30 * time.Second
	// quietShare says what quiet is: less than one part in so many of the heap
	// has been allocated anew since the last look. The runtime would collect
	// garbage some minutes later at the earliest.
	quietShare = 8
)

// usage is what the runtime says of its memory, in bytes.
type usage struct {
	allocated uint64 // since the process began
	heap      uint64 // objects, whether they are in use or not yet collected
}

// returner gives memory back to the system once the node has become quiet. A
// crowd that connects needs several times the memory that it needs when it is
// there, and the runtime keeps what it once had: it expects the next crowd.
type returner struct {
	// Static.
	read func() usage
	free func()

	// Owned by the goroutine that runs.
	last     usage
	returned bool // nothing has happened since that would be worth another time
}

func newReturner() *returner { return &returner{read: readUsage, free: debug.FreeOSMemory} }

func readUsage() usage {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	return usage{allocated: samples[0].Value.Uint64(), heap: samples[1].Value.Uint64()}
}

// returnMemory has memory returned until the node stops.
func (s *Server) returnMemory(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	s.serving.Go(func() { newReturner().run(ctx) })
	s.onStop("memory", stopGrace, func(context.Context) error {
		stop()
		return nil
	})
}

// run looks from time to time, until ctx ends.
func (r *returner) run(ctx context.Context) {
	r.last = r.read()
	tick := time.NewTicker(quietLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.look()
		case <-ctx.Done():
			return
		}
	}
}

// look returns memory once for each quiet time, as it costs a collection.
func (r *returner) look() {
	now := r.read()
	quiet := (now.allocated-r.last.allocated)*quietShare < now.heap
	if quiet && !r.returned {
		r.free()
		now = r.read()
	}
	r.last, r.returned = now, quiet
}
