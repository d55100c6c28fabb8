//go:build unix

package listen

import (
	"math"
	"syscall"
)

// OpenFiles returns how many files the process may open. Go raises the soft limit to the hard limit
// when the process starts.
func OpenFiles() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	return int64(min(uint64(limit.Cur), math.MaxInt32))
}
