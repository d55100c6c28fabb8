// Package memwatch reports when the process comes close to its memory limit, so that the broker can
// refuse work while it still has the memory to answer.
//
// It counts what the garbage collector can't free: the heap that was live after the last
// collection, and all memory outside the heap. The size of the process says little, because Go lets
// garbage accumulate up to the limit before it collects.
package memwatch
