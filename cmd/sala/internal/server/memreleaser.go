package server

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// quietInterval is how often the node checks whether it is quiet.
	quietInterval = 30 * time.Second
	// quietShare defines quiet: the node has allocated less than 1/quietShare of its heap since the
	// last check. The runtime itself would collect garbage minutes later at the earliest.
	quietShare = 8
)

// usage is the runtime's memory, in bytes.
type usage struct {
	allocated uint64 // since the process started
	heap      uint64 // objects in use or not yet collected
}

// memReleaser returns memory to the system when the node becomes quiet. Connecting clients take
// several times the memory of connected ones, and the runtime keeps it for the next peak.
type memReleaser struct {
	// Static.
	read func() usage
	free func()

	// Owned by the goroutine that runs.
	last     usage
	released bool // nothing has happened since the last release
}

func newMemReleaser() *memReleaser { return &memReleaser{read: readUsage, free: debug.FreeOSMemory} }

func readUsage() usage {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	return usage{allocated: samples[0].Value.Uint64(), heap: samples[1].Value.Uint64()}
}

// releaseMemory starts a memReleaser that runs until the node stops.
func (s *Server) releaseMemory(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	s.serving.Go(func() { newMemReleaser().run(ctx) })
	s.onStop("memory", stopGrace, func(context.Context) error {
		stop()
		return nil
	})
}

// run checks at intervals until ctx ends.
func (r *memReleaser) run(ctx context.Context) {
	r.last = r.read()
	tick := time.NewTicker(quietInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.check()
		case <-ctx.Done():
			return
		}
	}
}

// check releases memory once per quiet period, because that costs a garbage collection.
func (r *memReleaser) check() {
	now := r.read()
	quiet := (now.allocated-r.last.allocated)*quietShare < now.heap
	if quiet && !r.released {
		r.free()
		now = r.read()
	}
	r.last, r.released = now, quiet
}
