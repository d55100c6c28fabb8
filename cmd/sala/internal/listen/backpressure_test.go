package listen

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// closedListener has nothing to accept.
type closedListener struct{ net.Listener }

func (closedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }

func TestNewClientsWaitWhileTheNodeIsBusy(t *testing.T) {
	for busyFor, want := range map[int]int{0: 0, 1: 1, maxPauses - 1: maxPauses - 1, 1000: maxPauses} {
		looks, waits := 0, 0
		l := &backpressureListener{
			Listener: closedListener{},
			busy:     func() bool { looks++; return looks <= busyFor },
			wait: func(d time.Duration) {
				if waits++; d != acceptPause {
					t.Errorf("waited for %v, want %v", d, acceptPause)
				}
			},
		}
		if _, err := l.Accept(); err != net.ErrClosed {
			t.Errorf("the listener's own error became %v", err)
		}
		if waits != want {
			t.Errorf("busy %d times: waited %d times, want %d", busyFor, waits, want)
		}
	}
}

// TestBusyIsAQueueOfGoroutines has more goroutines ready to run than processors
// can take up while the one that looks doesn't pause.
func TestBusyIsAQueueOfGoroutines(t *testing.T) {
	l := newBackpressureListener(closedListener{})
	stop := make(chan struct{})
	var spinning sync.WaitGroup
	defer spinning.Wait()
	defer close(stop)
	for range 100 * runtime.GOMAXPROCS(0) {
		spinning.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		})
	}
	eventually(t, "the node is busy", l.busy)
}
