//go:build !unix

package listen

import "math"

// OpenFiles returns how many files the process may open. This system has no limit of its own.
func OpenFiles() int64 { return math.MaxInt32 }
