//go:build !linux

package engine

// limitUnsent does nothing where there is no such limit.
func limitUnsent(uintptr, int) {}
