package listcache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker/listcache"
)

var options = listcache.Options{MinAge: 3 * time.Second, Rest: 50, Keep: time.Minute, MaxLists: 4, MaxWeight: 10}

// walks counts walks that each take a while.
type walks struct {
	n    int
	took time.Duration
}

func (w *walks) walk(context.Context) int {
	w.n++
	<-time.After(w.took)
	return w.n
}

func newCache() *listcache.Cache[int] { return listcache.New(options, func(int) int { return 3 }) }

func newest(t *testing.T, c *listcache.Cache[int], key string, walk func(context.Context) int) listcache.List[int] {
	t.Helper()
	list, err := c.Newest(t.Context(), key, walk)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Viewers share a walk, at the same time and for a while after it.
func TestSharesWalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newCache(), &walks{took: 10 * time.Millisecond}
		var looking sync.WaitGroup
		for range 20 {
			looking.Go(func() { newest(t, c, "a", w.walk) })
		}
		looking.Wait()
		<-time.After(options.MinAge - time.Millisecond)
		if list := newest(t, c, "a", w.walk); w.n != 1 || list.Value != 1 || time.Since(list.Made) != options.MinAge+9*time.Millisecond {
			t.Errorf("%d walks; the list is %+v", w.n, list)
		}
		<-time.After(time.Millisecond)
		if list := newest(t, c, "a", w.walk); w.n != 2 || list.Value != 2 {
			t.Errorf("%d walks; the list is %+v", w.n, list)
		}
		synctest.Wait()
		<-time.After(2 * options.Keep)
	})
}

// The longer a walk takes, the longer its list serves.
func TestLongWalksAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newCache(), &walks{took: time.Second}
		newest(t, c, "a", w.walk)
		<-time.After(49 * time.Second)
		if newest(t, c, "a", w.walk); w.n != 1 {
			t.Errorf("%d walks within 50 s", w.n)
		}
		<-time.After(2 * time.Second)
		if newest(t, c, "a", w.walk); w.n != 2 {
			t.Errorf("%d walks, want one more after 50 s", w.n)
		}
		<-time.After(2 * options.Keep)
	})
}

// Earlier lists stay for their readers, and only for those who ask for what they were made for.
func TestKeepsListsWhileTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newCache(), &walks{}
		first := newest(t, c, "a", w.walk)
		for range 3 {
			<-time.After(options.Keep - time.Second)
			if list, ok := c.Get("a", first.Number); !ok || list != first {
				t.Errorf("got %+v, %t", list, ok)
			}
		}
		if second := newest(t, c, "a", w.walk); second.Number == first.Number || second.Value != 2 {
			t.Errorf("the next list is %+v", second)
		}
		if _, ok := c.Get("b", first.Number); ok {
			t.Error("a list is found by the key of another")
		}
		<-time.After(options.Keep)
		if _, ok := c.Get("a", first.Number); ok {
			t.Error("a list is kept that nobody reads")
		}
		<-time.After(2 * options.Keep)
	})
}

// The list that was read the longest ago goes first.
func TestKeepsFewLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newCache(), &walks{}
		var numbers []uint64
		for i := range 4 { // three fit, by weight
			<-time.After(time.Millisecond)
			numbers = append(numbers, newest(t, c, fmt.Sprint(i), w.walk).Number)
			c.Get("0", numbers[0])
		}
		for i, want := range []bool{true, false, true, true} {
			if _, ok := c.Get(fmt.Sprint(i), numbers[i]); ok != want {
				t.Errorf("list %d is kept: %t, want %t", i, ok, want)
			}
		}
		<-time.After(2 * options.Keep)
	})
}

// Whoever gives up, or panics, leaves the walk to the next one.
func TestWhoMakesAListMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w := newCache(), &walks{}
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("no longer needed")
		var looking sync.WaitGroup
		looking.Go(func() {
			_, err := c.Newest(ctx, "a", func(ctx context.Context) int { <-ctx.Done(); return -1 })
			if !errors.Is(err, cause) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		looking.Go(func() {
			if list := newest(t, c, "a", w.walk); list.Value != 1 {
				t.Errorf("got %+v", list)
			}
		})
		synctest.Wait()
		cancel(cause)
		looking.Wait()
		func() {
			defer func() { _ = recover() }()
			newest(t, c, "b", func(context.Context) int { panic("a bug") })
		}()
		if list := newest(t, c, "b", w.walk); list.Value != 2 {
			t.Errorf("after a panic: %+v", list)
		}
		<-time.After(2 * options.Keep)
	})
}
