package engineio

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// A flusher that is woken lets runnable goroutines push first.
func TestFlusherYieldsToPushers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, least = 100, 80 // the runtime goes another way now and then
	first := 0
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			q, others := newFlushQueue(), 3
			pushed, seen := make(chan struct{}, others), make(chan int)
			go func() {
				q.pop()
				seen <- len(pushed)
			}()
			synctest.Wait()
			for range others {
				go func() { pushed <- struct{}{} }()
			}
			q.push(&Conn{})
			if <-seen == others {
				first++
			}
		})
	}
	if first < least {
		t.Errorf("the others went first %d times of %d, want at least %d", first, rounds, least)
	}
}
