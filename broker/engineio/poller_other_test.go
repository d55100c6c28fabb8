//go:build !linux

package engineio

import "testing"

// watchedByKernel returns how many sockets the kernel watches for the parker.
func (*parker) watchedByKernel(*testing.T) int { return 0 }

// unread reports whether the server has received something from the client and not read it; false if
// that isn't known.
func (*session) unread() bool { return false }
