package server

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsReleasedOncePerQuietPeriod(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		allocated []uint64 // between one look and the next, with a heap of 8 MiB
		releases  []int    // the looks at which memory is released
	}{
		"always quiet":     {[]uint64{0, 0, 0, 0}, []int{0}},
		"always busy":      {[]uint64{9 * mib, mib, 100 * mib}, nil},
		"quiet at last":    {[]uint64{9 * mib, 9 * mib, mib - 1, 0}, []int{2}},
		"at the threshold": {[]uint64{mib}, nil},
		"busy in between":  {[]uint64{0, 0, mib, 0, 0}, []int{0, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &memReleaser{}
			now, look := usage{heap: 8 * mib}, 0
			var releases []int
			r.read = func() usage { return now }
			r.free = func() { releases = append(releases, look) }
			r.last = r.read()
			for i, n := range test.allocated {
				look = i
				now.allocated += n
				r.check()
			}
			if !slices.Equal(releases, test.releases) {
				t.Errorf("memory was released at the looks %v, want %v", releases, test.releases)
			}
		})
	}
}

func TestMemReleaserRunsUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var released []time.Duration
		begin := time.Now()
		r := newMemReleaser()
		r.read = func() usage { return usage{heap: 1} }
		r.free = func() { released = append(released, time.Since(begin)) }
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.run(ctx)
		}()
		<-time.After(10 * time.Minute)
		stop()
		<-ended
		if !slices.Equal(released, []time.Duration{quietInterval}) {
			t.Errorf("memory was released after %v, want once after %s", released, quietInterval)
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
