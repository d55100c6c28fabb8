// Package memwatch tells when the process is about to reach its memory limit, so that what can wait is refused while
// there still is memory to say so with.
//
// What counts is what the garbage collector could not free: the heap that was alive at its last run, and all that isn't
// heap. The size of the process says little, since Go lets garbage pile up to the limit before it collects.
package memwatch
