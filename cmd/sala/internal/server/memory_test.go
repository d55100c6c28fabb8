package server

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsReturnedOnceForEachQuietTime(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		allocated []uint64 // between one look and the next, with a heap of 8 MiB
		returns   []int    // the looks at which memory is returned
	}{
		"always quiet":     {[]uint64{0, 0, 0, 0}, []int{0}},
		"always busy":      {[]uint64{9 * mib, mib, 100 * mib}, nil},
		"quiet at last":    {[]uint64{9 * mib, 9 * mib, mib - 1, 0}, []int{2}},
		"at the threshold": {[]uint64{mib}, nil},
		"busy in between":  {[]uint64{0, 0, mib, 0, 0}, []int{0, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &returner{}
			now, look := usage{heap: 8 * mib}, 0
			var returns []int
			r.read = func() usage { return now }
			r.free = func() { returns = append(returns, look) }
			r.last = r.read()
			for i, n := range test.allocated {
				look = i
				now.allocated += n
				r.look()
			}
			if !slices.Equal(returns, test.returns) {
				t.Errorf("memory was returned at the looks %v, want %v", returns, test.returns)
			}
		})
	}
}

func TestReturnerLooksUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var returned []time.Duration
		begin := time.Now()
		r := newReturner()
		r.read = func() usage { return usage{heap: 1} }
		r.free = func() { returned = append(returned, time.Since(begin)) }
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.run(ctx)
		}()
		<-time.After(10 * time.Minute)
		stop()
		<-ended
		if !slices.Equal(returned, []time.Duration{quietLook}) {
			t.Errorf("memory was returned after %v, want once after %s", returned, quietLook)
		}
	})
}

func TestUsageIsRead(t *testing.T) {
	before := readUsage()
	block := make([]byte, 1<<20)
	after := readUsage()
	if before.heap == 0 || after.allocated-before.allocated < uint64(len(block)) {
		t.Errorf("after %d bytes more, %+v became %+v", len(block), before, after)
	}
}
