package workers

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Each function runs, and none waits for another one.
func TestPoolRunsEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * maxIdle
		p, release := New(), make(chan struct{})
		for range 3 {
			var running atomic.Int32
			var all sync.WaitGroup
			all.Add(n)
			for range n {
				p.Go(func() {
					defer all.Done()
					running.Add(1)
					<-release
				})
			}
			synctest.Wait()
			if got := running.Load(); got != n {
				t.Fatalf("%d functions run, want %d", got, n)
			}
			for range n {
				release <- struct{}{}
			}
			all.Wait()
			synctest.Wait()
			if got := p.idle.Load(); got != maxIdle {
				t.Errorf("%d goroutines are kept, want %d", got, maxIdle)
			}
		}
		<-time.After(idleTime)
		synctest.Wait()
		if got := p.idle.Load(); got != 0 {
			t.Errorf("%d goroutines are kept for long", got)
		}
	})
}

// A function that comes soon runs on the goroutine of the one before.
func TestPoolKeepsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ran := New(), 0
		for range 5 {
			p.Go(func() { ran++ })
			synctest.Wait()
			if got := p.idle.Load(); got != 1 {
				t.Errorf("%d goroutines are kept, want 1", got)
			}
		}
		if ran != 5 {
			t.Errorf("%d functions have run, want 5", ran)
		}
		p.Close()
		p.Close()
		p.Go(func() { ran++ })
		synctest.Wait()
		if got := p.idle.Load(); ran != 6 || got != 0 {
			t.Errorf("%d functions have run, want 6, and %d goroutines are kept, want none", ran, got)
		}
	}) // fails if a goroutine doesn't end
}
