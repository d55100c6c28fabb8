//go:build !linux

package engineio

// limitUnsent does nothing on systems without such a limit.
func limitUnsent(uintptr, int) {}
