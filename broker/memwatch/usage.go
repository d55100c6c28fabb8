package memwatch

import (
	"runtime"
	"runtime/metrics"
)

// Indexes into reader.samples.
const (
	total = iota
	released
	free
	objects
	live
	cycles
)

// Usage is how much memory the process uses.
type Usage struct {
	Bytes  int64  // that can't be freed
	Cycles uint64 // completed garbage collections
}

// reader reads a [Usage] from the runtime.
type reader struct{ samples []metrics.Sample }

func newReader() *reader {
	return &reader{samples: []metrics.Sample{
		total:    {Name: "/memory/classes/total:bytes"},
		released: {Name: "/memory/classes/heap/released:bytes"},
		free:     {Name: "/memory/classes/heap/free:bytes"},
		objects:  {Name: "/memory/classes/heap/objects:bytes"},
		live:     {Name: "/gc/heap/live:bytes"},
		cycles:   {Name: "/gc/cycles/total:gc-cycles"},
	}}
}

// read counts the heap as it was live at the last collection, instead of all its objects, which
// include garbage.
func (r *reader) read() Usage {
	metrics.Read(r.samples)
	value := func(i int) int64 {
		if r.samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a release of Go without this metric
		}
		return int64(r.samples[i].Value.Uint64()) //nolint:gosec // no machine has that much
	}
	return Usage{
		Bytes:  value(total) - value(released) - value(free) - value(objects) + value(live),
		Cycles: uint64(value(cycles)), //nolint:gosec // it was unsigned
	}
}

// collect runs the garbage collector.
func collect() { runtime.GC() }
