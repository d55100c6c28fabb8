package memwatch

import (
	"runtime"
	"runtime/metrics"
)

// What is read of the runtime, in the order of reader.samples.
const (
	total = iota
	released
	free
	objects
	live
	cycles
)

// reader reads how much memory is used.
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

// read replaces the objects of the heap, garbage among them, by those that were alive at the last collection.
func (r *reader) read() Usage {
	metrics.Read(r.samples)
	value := func(i int) int64 {
		if r.samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // of a release of Go that has it no more
		}
		return int64(r.samples[i].Value.Uint64()) //nolint:gosec // no machine has so much
	}
	return Usage{
		Bytes:  value(total) - value(released) - value(free) - value(objects) + value(live),
		Cycles: uint64(value(cycles)), //nolint:gosec // it was one
	}
}

// collect runs the garbage collector.
func collect() { runtime.GC() }
