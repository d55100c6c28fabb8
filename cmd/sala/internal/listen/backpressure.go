package listen

import (
	"net"
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// busyQueue is how many runnable goroutines per processor make the node busy.
	busyQueue = 8
	// acceptPause is how long Accept waits before it looks again, and maxPauses how often it waits
	// for one client. Even a busy node accepts 200 clients a second.
	acceptPause = time.Millisecond
	maxPauses   = 5
)

// backpressureListener delays new clients while connected clients have work to do. When everybody
// reconnects at once, for example because a load balancer died, thousands of handshakes would be
// runnable at the same time and delay messages for everybody else. Clients that aren't accepted yet
// wait in the kernel, where they cost the scheduler nothing.
type backpressureListener struct {
	net.Listener

	// Static.
	busy func() bool
	wait func(time.Duration)
}

// newBackpressureListener wraps l. One goroutine calls Accept.
func newBackpressureListener(l net.Listener) *backpressureListener {
	limit := busyQueue * float64(runtime.GOMAXPROCS(0))
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	busy := func() bool {
		metrics.Read(sample)
		return sample[0].Value.Kind() == metrics.KindUint64 && float64(sample[0].Value.Uint64()) > limit
	}
	return &backpressureListener{Listener: l, busy: busy, wait: func(d time.Duration) { <-time.After(d) }}
}

// Accept implements [net.Listener].
func (l *backpressureListener) Accept() (net.Conn, error) {
	for n := 0; n < maxPauses && l.busy(); n++ {
		l.wait(acceptPause)
	}
	return l.Listener.Accept()
}
