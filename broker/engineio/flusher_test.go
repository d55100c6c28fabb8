package engineio

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// TestFlushersLetOthersPushFirst has a flusher wait while others become ready to run before it is woken: they go first.
func TestFlushersLetOthersPushFirst(t *testing.T) {
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
