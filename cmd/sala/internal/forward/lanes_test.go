package forward

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

func TestLanesKeepOrder(t *testing.T) {
	const keys, tasks, limit = 20, 50, 4
	l := newLanes(limit)
	var mu sync.Mutex
	ran := map[string][]int{}
	var running atomic.Int32
	for n := range tasks {
		for k := range keys {
			key := fmt.Sprint(k)
			l.add(key, func() {
				if now := running.Add(1); now > limit {
					t.Errorf("%d run at the same time", now)
				}
				mu.Lock()
				ran[key] = append(ran[key], n)
				mu.Unlock()
				running.Add(-1)
			})
		}
	}
	l.wait()
	for key, got := range ran {
		if len(got) != tasks || !slices.IsSorted(got) {
			t.Errorf("key %s ran %v", key, got)
		}
	}
	if len(ran) != keys || len(l.waiting) > 0 {
		t.Errorf("%d keys ran, %d wait", len(ran), len(l.waiting))
	}
}

func TestLanesDontWaitForEachOther(t *testing.T) {
	l := newLanes(2)
	release, second := make(chan struct{}), make(chan struct{})
	l.add("a", func() { <-release })
	l.add("b", func() { close(second) })
	<-second
	close(release)
	l.wait()
}
