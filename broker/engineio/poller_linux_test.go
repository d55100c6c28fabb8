package engineio

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// halfClosed is a socket whose peer has closed it.
type halfClosed int

func (s halfClosed) Control(f func(fd uintptr)) error { f(uintptr(s)); return nil }
func (s halfClosed) Read(func(fd uintptr) bool) error { return syscall.ENOTSUP }

func (s halfClosed) Write(func(fd uintptr) bool) error { return syscall.ENOTSUP }

// When many peers close at once, the poller reports a few at a time, so that other goroutines
// don't wait for all of them.
func TestPollerYields(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const sockets, most = 1000, 8 * pollBatch
	var p poller
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	for i := range int32(sockets) {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Close(pair[0]) }()
		if err := syscall.Close(pair[1]); err != nil {
			t.Fatal(err)
		}
		if err := p.watch(halfClosed(pair[0]), pollKey{i, i}); err != nil {
			t.Fatal(err)
		}
	}
	var ready, worst atomic.Int64
	var all sync.WaitGroup
	all.Add(sockets)
	var poller sync.WaitGroup
	poller.Go(func() {
		p.run(func(_ pollKey, closed bool) {
			if !closed {
				t.Error("a closed peer is reported as one that has sent something")
			}
			worst.Store(max(worst.Load(), ready.Add(1)))
			go func() {
				ready.Add(-1)
				all.Done()
			}()
		})
	})
	all.Wait()
	p.close()
	poller.Wait()
	if n := worst.Load(); n > most {
		t.Errorf("%d of %d were ready at the same time, want at most %d", n, sockets, most)
	}
}
