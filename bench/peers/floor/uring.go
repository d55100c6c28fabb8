package main

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring writes to many connections with one system call for each batch, by io_uring. Its numbers are
// those of the kernel's header linux/io_uring.h. It belongs to one goroutine at a time.
type ring struct {
	fd          int
	submissions []byte // the queue's memory: head, tail and index array
	completions []byte
	entries     []submission

	tail, mask     *uint32 // of the submission queue; the kernel reads tail
	array          []uint32
	cqHead, cqTail *uint32 // of the completion queue; the kernel writes cqTail

	message []byte // a copy on the heap: a stack may move while the kernel has an address in it
}

const (
	ringSize       = 256 // sends with one system call
	opSend         = 26  // IORING_OP_SEND
	skipSuccess    = 64  // IOSQE_CQE_SKIP_SUCCESS: a send that succeeds, or takes a part, reports nothing
	offSubmissions = 0
	offCompletions = 0x8000000
	offEntries     = 0x10000000
)

// submission is struct io_uring_sqe.
type submission struct {
	opcode, flags    uint8
	ioprio           uint16
	fd               int32
	offset, address  uint64
	length, msgFlags uint32
	userData         uint64
	_                [3]uint64
}

// parameters is struct io_uring_params.
type parameters struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, array, flags, _ uint32
		_                                                    uint64
	}
}

// newRing returns a ring, or an error where the kernel or a sandbox refuses it.
func newRing() (*ring, error) {
	var p parameters
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringSize, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &ring{fd: int(fd)}
	var err error
	if r.submissions, err = r.memory(offSubmissions, uintptr(p.sq.array)+uintptr(p.sqEntries)*4); err != nil {
		return nil, err
	}
	const completion = 16 // the size of struct io_uring_cqe
	if r.completions, err = r.memory(offCompletions, uintptr(p.cq.array)+uintptr(p.cqEntries)*completion); err != nil {
		return nil, err
	}
	entries, err := r.memory(offEntries, uintptr(p.sqEntries)*unsafe.Sizeof(submission{}))
	if err != nil {
		return nil, err
	}
	r.entries = unsafe.Slice((*submission)(unsafe.Pointer(&entries[0])), p.sqEntries)
	r.tail, r.mask = at(r.submissions, p.sq.tail), at(r.submissions, p.sq.mask)
	r.array = unsafe.Slice(at(r.submissions, p.sq.array), p.sqEntries)
	r.cqHead, r.cqTail = at(r.completions, p.cq.head), at(r.completions, p.cq.tail)
	return r, nil
}

func (r *ring) memory(offset int64, size uintptr) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap of the ring: %w", err)
	}
	return b, nil
}

func at(b []byte, offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[offset])) }

// send writes b to all connections. Errors are left to [rooms.watch], and a client that does not
// read loses the message: this is a floor and no server.
func (r *ring) send(fds map[int]struct{}, b []byte) {
	r.message = append(r.message[:0], b...)
	queued := uint32(0)
	for fd := range fds {
		r.queue(queued, int32(fd))
		if queued++; queued == uint32(len(r.entries)) {
			r.submit(queued)
			queued = 0
		}
	}
	r.submit(queued)
}

// queue puts a send behind those that are queued already.
func (r *ring) queue(queued uint32, fd int32) {
	i := (*r.tail + queued) & *r.mask
	r.entries[i] = submission{
		opcode: opSend, flags: skipSuccess, fd: fd,
		address: uint64(uintptr(unsafe.Pointer(&r.message[0]))), length: uint32(len(r.message)), msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL,
	}
	r.array[i] = i
}

// submit lets the kernel do what is queued. With MSG_DONTWAIT it does so before the call returns,
// and so the bytes may be reused afterwards.
func (r *ring) submit(queued uint32) {
	atomic.AddUint32(r.tail, queued)
	for queued > 0 {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(queued), 0, 0, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return
		}
		queued -= uint32(n)
		atomic.StoreUint32(r.cqHead, atomic.LoadUint32(r.cqTail)) // only failures are reported
	}
}
