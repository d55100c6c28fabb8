package engineio

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// watchedByKernel returns how many sockets the kernel watches for the parker.
func (p *parker) watchedByKernel(t *testing.T) (n int) {
	t.Helper()
	if !p.works {
		return 0
	}
	// It fails only on a closed descriptor, for which the kernel watches nothing.
	_ = p.poller.raw.Control(func(epoll uintptr) {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", epoll))
		if err != nil {
			t.Error(err)
		}
		n = strings.Count(string(info), "tfd:")
	})
	return n
}

// unread reports whether the server has received something from the client and not read it.
func (s *session) unread() (unread bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.ws.socket().Control(func(fd uintptr) { // it fails only on a closed descriptor
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		unread = err == nil && n > 0
	})
	return unread
}

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
