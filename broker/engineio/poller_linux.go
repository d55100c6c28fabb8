package engineio

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// canPark says whether connections can wait without a goroutine on this system.
const canPark = true

// pollBatch is how many connections are resumed before other goroutines get their turn.
const pollBatch = 32

// edgeTriggered is EPOLLET, which has the wrong sign in package syscall.
const edgeTriggered = 1 << 31

// poller is an epoll instance. The runtime watches its descriptor, so that waiting for it takes a
// goroutine and no thread.
type poller struct {
	file   *os.File
	raw    syscall.RawConn
	events [pollBatch]syscall.EpollEvent // owned by run
}

func (p *poller) open() error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fd))
	}
	p.file = os.NewFile(uintptr(fd), "epoll")
	p.raw, err = p.file.SyscallConn()
	return err
}

func (p *poller) close() { _ = p.file.Close() } // run ends with it; there is nothing to do about an error

// watch has the key reported whenever the socket has become readable, and at once if it is. Several
// arrivals before the socket is read may be reported once.
func (p *poller) watch(socket syscall.RawConn, t pollKey) error {
	event := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | edgeTriggered,
		Fd:     t.slot,
		Pad:    t.serial,
	}
	var closed, refused error
	failed := p.raw.Control(func(epoll uintptr) {
		closed = socket.Control(func(fd uintptr) {
			refused = syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_ADD, int(fd), &event)
		})
	})
	return errors.Join(failed, closed, refused)
}

// run calls report for each key whose socket has become readable, until close. closed says that
// the peer has closed the connection, since a read that takes all there is doesn't tell.
func (p *poller) run(report func(t pollKey, closed bool)) {
	for {
		n := 0
		err := p.raw.Read(func(epoll uintptr) bool {
			failed := error(syscall.EINTR)
			for errors.Is(failed, syscall.EINTR) {
				n, failed = syscall.EpollWait(int(epoll), p.events[:], 0)
			}
			return n != 0 // the runtime waits again only when all has been reported
		})
		if err != nil || n < 0 {
			return
		}
		for _, e := range p.events[:n] {
			report(pollKey{e.Fd, e.Pad}, e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0)
		}
		// Thousands of clients can vanish at the same moment. Resumed in one go, they would be
		// thousands of runnable goroutines, and the messages of all others would wait behind
		// them.
		runtime.Gosched()
	}
}
