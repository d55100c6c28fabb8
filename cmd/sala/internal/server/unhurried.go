package server

import (
	"net"
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// busyQueue is how many goroutines for each processor may be ready to run
	// before new clients wait.
	busyQueue = 8
	// shortWait is how long they wait until it is looked again, and maxWaits
	// how often that is at the most for one client: however busy the node is,
	// 200 get in every second.
	shortWait = time.Millisecond
	maxWaits  = 5
)

// unhurried is a listener that lets new clients wait while those who are
// connected have work to be done. Everybody who comes back at once, as when a
// load balancer has died, would otherwise be thousands of goroutines that are
// ready to run, and what goes to everybody else would wait behind them. New
// clients wait in the kernel, where they take no part in that.
type unhurried struct {
	net.Listener

	// Static.
	busy func() bool
	wait func(time.Duration)
}

// newUnhurried makes a listener wait. It is accepted from by one goroutine.
func newUnhurried(l net.Listener) *unhurried {
	limit := busyQueue * float64(runtime.GOMAXPROCS(0))
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	busy := func() bool {
		metrics.Read(sample)
		return sample[0].Value.Kind() == metrics.KindUint64 && float64(sample[0].Value.Uint64()) > limit
	}
	return &unhurried{Listener: l, busy: busy, wait: func(d time.Duration) { <-time.After(d) }}
}

// Accept implements [net.Listener].
func (u *unhurried) Accept() (net.Conn, error) {
	for n := 0; n < maxWaits && u.busy(); n++ {
		u.wait(shortWait)
	}
	return u.Listener.Accept()
}
