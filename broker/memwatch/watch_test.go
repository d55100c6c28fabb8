package memwatch

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testWatch is a watch over a memory whose usage the test sets.
type testWatch struct {
	*Watch
	bytes, cycles atomic.Int64
	collections   int
	calls         []string
}

func watch(t *testing.T) *testWatch {
	s := &testWatch{}
	s.Watch = Start(Options{
		Limit:   1000,
		Changed: func(short bool, used int64) { s.calls = append(s.calls, fmt.Sprint(short, used)) },
		Lasting: func() { s.calls = append(s.calls, "lasting") },
		Read:    func() Usage { return Usage{s.bytes.Load(), uint64(s.cycles.Load())} },
		Collect: func() { s.collections++; s.cycles.Add(1) },
	})
	t.Cleanup(s.Stop)
	return s
}

// use sets the usage and waits until the watch has seen it.
func (s *testWatch) use(bytes int64) {
	s.bytes.Store(bytes)
	<-time.After(interval)
	synctest.Wait()
}

func TestShortAndEnoughAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := watch(t)
		for _, step := range []struct {
			bytes int64
			short bool
		}{{0, false}, {899, false}, {900, true}, {899, true}, {800, true}, {799, false}, {899, false}, {2000, true}, {10, false}} {
			if s.use(step.bytes); s.Short() != step.short {
				t.Errorf("at %d: %v", step.bytes, s.Short())
			}
		}
		if want := []string{"true 900", "false 799", "true 2000", "false 10"}; !slices.Equal(s.calls, want) {
			t.Errorf("called %q, want %q", s.calls, want)
		}
	})
}

func TestMemoryStaysShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := watch(t)
		s.use(950)
		<-time.After(2*lastingAfter + interval)
		synctest.Wait()
		if want := []string{"true 950", "lasting", "lasting"}; !slices.Equal(s.calls, want) {
			t.Errorf("called %q, want %q", s.calls, want)
		}
		if s.collections < 15 || s.collections > 21 {
			t.Errorf("%d collections in 20 s", s.collections)
		}
		s.use(0)
		before := s.collections
		<-time.After(time.Minute)
		synctest.Wait()
		if s.collections != before || len(s.calls) != 4 {
			t.Errorf("with enough: %d more collections, called %q", s.collections-before, s.calls)
		}
	})
}

// The runtime's numbers count memory in use, and not memory that was freed.
func TestUsage(t *testing.T) {
	r := newReader()
	collect()
	before := r.read()
	held := make([]byte, 64<<20)
	for i := range held {
		held[i] = 1
	}
	collect()
	during := r.read()
	runtime.KeepAlive(held)
	collect()
	after := r.read()
	if grown := during.Bytes - before.Bytes; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB are held, %d bytes are counted", grown)
	}
	if left := after.Bytes - before.Bytes; left > 20<<20 {
		t.Errorf("nothing is held any longer, but %d bytes are counted", left)
	}
	if after.Cycles < before.Cycles+2 {
		t.Errorf("%d collections, then %d", before.Cycles, after.Cycles)
	}
}
