//go:build !linux

package engineio

import "syscall"

// canPark says whether connections can wait without a goroutine on this system.
const canPark = false

// poller is not used where canPark is false.
type poller struct{}

func (*poller) open() error                          { return nil }
func (*poller) close()                               {}
func (*poller) watch(syscall.RawConn, pollKey) error { return errIdle }
func (*poller) run(func(pollKey, bool))              {}
