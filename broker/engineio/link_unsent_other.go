//go:build !linux

package engineio

// limitUnsent does nothing where there is no such limit.
func limitUnsent(uintptr, int) {}
