package engineio

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// canPark says whether connections can wait without a goroutine on this system.
const canPark = true

// pollBatch is how many connections are resumed before others get their turn.
const pollBatch = 32

// edgeTriggered is EPOLLET, which package syscall has with the wrong sign.
const edgeTriggered = 1 << 31

// poller is an epoll instance. Its own descriptor is watched by the runtime, so that waiting for it takes a goroutine
// and no thread.
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

func (p *poller) close() { _ = p.file.Close() } // run ends with it; nothing else can be done about an error

// watch has t reported whenever something has come that the socket can be read for, also if that is there already.
// What comes before it has been read may be reported once for all.
func (p *poller) watch(socket syscall.RawConn, t ticket) error {
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

// run calls report for each ticket whose socket has something to read, until close, and says whether the peer has
// closed it: a read that takes all that there is doesn't tell that.
func (p *poller) run(report func(t ticket, closed bool)) {
	for {
		n := 0
		err := p.raw.Read(func(epoll uintptr) bool {
			failed := error(syscall.EINTR)
			for errors.Is(failed, syscall.EINTR) {
				n, failed = syscall.EpollWait(int(epoll), p.events[:], 0)
			}
			return n != 0 // what is left is waited for only when all has been seen
		})
		if err != nil || n < 0 {
			return
		}
		for _, e := range p.events[:n] {
			report(ticket{e.Fd, e.Pad}, e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0)
		}
		// Thousands of clients can vanish in one moment. Resumed at a stretch, they would be thousands of goroutines
		// that are ready to run, and the messages of all others would wait behind them.
		runtime.Gosched()
	}
}
