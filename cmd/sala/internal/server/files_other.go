//go:build !unix

package server

import "math"

// maxOpenFiles returns how many files the process may open, which is not limited
// on this system.
func maxOpenFiles() int64 { return math.MaxInt32 }
