//go:build unix

package server

import (
	"math"
	"syscall"
)

// maxOpenFiles returns how many files the process may open. Go has raised the
// soft limit to the hard one when the process started.
func maxOpenFiles() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	return int64(min(uint64(limit.Cur), math.MaxInt32))
}
