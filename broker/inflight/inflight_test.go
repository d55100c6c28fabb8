package inflight

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Operations
		if err := all.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, nested := all.Begin(), all.Begin()
		done := make(chan error, 1)
		go func() { done <- all.Await(t.Context()) }()
		synctest.Wait()
		later := all.Begin() // nobody waits for it, and it waits for nobody
		before.End()
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("it doesn't wait for all")
		}
		nested.End()
		later.End()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for range 3 { // whichever turn it is
			left := all.Begin()
			ctx, cancel := context.WithCancel(t.Context())
			go func() { done <- all.Await(ctx) }()
			synctest.Wait()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("after its context has ended it returns %v", err)
			}
			left.End()
		}
	})
}

// Whoever waits has seen the end of everything that had begun.
func TestAwaitUnderLoad(t *testing.T) {
	var all Operations
	var begun, ended [4]atomic.Int64
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for i := range begun {
		running.Go(func() {
			for ctx.Err() == nil {
				op := all.Begin()
				begun[i].Add(1)
				runtime.Gosched()
				ended[i].Add(1)
				op.End()
			}
		})
	}
	for range 2000 {
		var before [4]int64
		for i := range begun {
			before[i] = begun[i].Load()
		}
		if err := all.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range ended {
			if ended[i].Load() < before[i] {
				t.Fatal("an operation that had begun is under way")
			}
		}
	}
	stop()
	running.Wait()
}

func BenchmarkBeginEnd(b *testing.B) {
	var all Operations
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			all.Begin().End()
		}
	})
}
