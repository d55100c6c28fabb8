package turns

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestHalfOfTheProcessors(t *testing.T) {
	for processors, most := range map[int]int64{1: 1, 2: 1, 3: 1, 4: 2, 32: 16} {
		synctest.Test(t, func(t *testing.T) {
			turns, end := New(processors), make(chan struct{})
			var running atomic.Int64
			var all sync.WaitGroup
			for i := range 100 {
				all.Go(func() {
					turns.Take(i % 7)
					defer turns.Give()
					running.Add(1)
					defer running.Add(-1)
					<-end
				})
			}
			synctest.Wait()
			if n := running.Load(); n != most {
				t.Errorf("%d processors: %d run at once, want %d", processors, n, most)
			}
			if turns.Try() {
				t.Errorf("%d processors: one more takes a turn", processors)
			}
			close(end)
			all.Wait()
			for range most {
				if !turns.Try() {
					t.Errorf("%d processors: fewer than %d turns are free in the end", processors, most)
				}
			}
			if turns.Try() || len(turns.lines) > 0 || len(turns.order) > 0 {
				t.Errorf("%d processors: more than %d turns, or lines of nobody, in the end", processors, most)
			}
		})
	}
}

// One who causes much delays others by one piece of work, and an owner's own are served in order.
func TestOwnersAlternate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := New(1)
		turns.Take("the test")
		var got []string
		var all sync.WaitGroup
		for _, w := range []struct{ owner, name string }{
			{"a", "a1"}, {"a", "a2"}, {"a", "a3"}, {"b", "b1"}, {"c", "c1"}, {"b", "b2"},
		} {
			all.Go(func() {
				turns.Take(w.owner)
				got = append(got, w.name)
				turns.Give()
			})
			synctest.Wait()
		}
		turns.Give()
		all.Wait()
		if want := []string{"a1", "b1", "c1", "a2", "b2", "a3"}; !slices.Equal(got, want) {
			t.Errorf("the order is %q, want %q", got, want)
		}
	})
}

func BenchmarkTry(b *testing.B) {
	turns := New(b.N) // always one free
	for b.Loop() {
		if turns.Try() {
			turns.Give()
		}
	}
}
