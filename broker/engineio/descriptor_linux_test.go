package engineio

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// inode returns what the kernel numbers the file by that has this number now.
func inode(t *testing.T, fd uintptr) uint64 {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(fd), &stat); err != nil {
		t.Errorf("file %d: %v", fd, err)
	}
	return stat.Ino
}

// inode returns that of the link's socket.
func (l *link) inode(t *testing.T) (n uint64) {
	t.Helper()
	if err := l.raw.Control(func(fd uintptr) { n = inode(t, fd) }); err != nil {
		t.Error(err)
	}
	return n
}

// A socket that is being written is closed once it has been, and otherwise at once.
func TestCloseWaitsForTheWrite(t *testing.T) {
	for name, reason := range map[string]Reason{"in order": ReasonForcedClose, "abruptly": ReasonSlowConsumer} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			nc, ses := s.rawClient(t)
			want := ses.ws.inode(t)
			ses.mu.Lock() // as makeRoom does
			ses.out.push(text("last"), 1)
			ses.busy, ses.socket.held = true, true
			number, chunk := ses.socket.number, ses.out.gather(nil)
			ses.mu.Unlock()
			ses.terminate(reason, nil)
			if got := ses.ws.inode(t); got != want {
				t.Errorf("the number is that of file %d, want %d", got, want)
			}
			n, err := ses.tryWrite(number, chunk)
			if err != nil || n != len(chunk) {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
			ses.wrote(n, false, err)
			if err := ses.ws.raw.Control(func(uintptr) {}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the socket is still open: %v", err)
			}
			if reason == ReasonForcedClose {
				if f, err := ws.ReadFrame(nc); err != nil || string(f.Payload) != "4last" {
					t.Errorf("read %q, %v", f.Payload, err)
				}
			}
			ses.wantClose(t, reason)

			_, idle := s.rawClient(t)
			idle.terminate(reason, nil)
			if err := idle.ws.raw.Control(func(uintptr) {}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the idle socket is still open: %v", err)
			}
		})
	}
}

// numberTest has connections end in all ways while they are written, and other files get the
// numbers of their sockets.
type numberTest struct {
	*testing.T
	s      *server
	inodes sync.Map // uint64, by *Conn
}

// Nothing is ever written to a number that its connection has no longer. The kernel says which file
// has the number before and after each write of some flushers, which take their time. Files that are
// opened meanwhile receive nothing, and each client only what is its own.
func TestNumbersOfClosedSockets(t *testing.T) {
	if throughNet {
		t.Skip("package net keeps the numbers")
	}
	const workers, clients, others = 6, 40, 2
	test := &numberTest{T: t}
	var flushers, dialling, opening sync.WaitGroup
	t.Cleanup(flushers.Wait)
	test.s = start(t, func(o *Options) { o.MaxQueuedBytes = 64 << 10 })
	for range others {
		flushers.Go(test.flush)
	}
	stop := make(chan struct{})
	for range others {
		opening.Go(func() { test.reuse(stop) })
	}
	for range workers {
		dialling.Go(func() {
			for range clients {
				test.client()
			}
		})
	}
	dialling.Wait()
	close(stop)
	opening.Wait()
}

// flush is a flusher that compares with the kernel, and lets others run in between.
func (t *numberTest) flush() {
	var batch [batchSize]*Conn
	scratch := make([]byte, flushChunk)
	for n := t.s.flushing.pop(&batch); n > 0; n = t.s.flushing.pop(&batch) {
		for _, c := range batch[:n] {
			chunk, number := c.takeChunk(scratch)
			if chunk == nil {
				continue
			}
			t.check(c, number)
			yield()
			n, err := c.tryWrite(number, chunk)
			yield()
			t.check(c, number)
			c.wrote(n, n < len(chunk), err)
		}
	}
}

func yield() {
	for range rand.IntN(5) {
		runtime.Gosched()
	}
}

func (t *numberTest) check(c *Conn, number int32) {
	t.Helper()
	want, _ := t.inodes.Load(c)
	if got := inode(t.T, uintptr(number)); got != want {
		t.Errorf("file %d is %d, want %d", number, got, want)
	}
}

// reuse opens files all the time, and checks that nobody writes to them.
func (t *numberTest) reuse(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		yield()
		for _, fd := range pair {
			var b [64]byte
			if n, err := syscall.Read(fd, b[:]); err != syscall.EAGAIN {
				t.Errorf("somebody has written to another file: %q, %v", b[:max(n, 0)], err)
			}
		}
		for _, fd := range pair {
			_ = syscall.Close(fd)
		}
	}
}

// client opens a connection that ends in some way while several goroutines send to it.
func (t *numberTest) client() {
	nc, buffered, _, err := ws.Dial(t.Context(), t.s.url("ws", "EIO=4&transport=websocket"))
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(patience))
	var source io.Reader = nc
	if buffered != nil {
		source = buffered
	}
	opened, err := ws.ReadFrame(source)
	var h handshake
	if err == nil {
		err = json.Unmarshal(opened.Payload[1:], &h)
	}
	if err != nil {
		t.Errorf("no open packet: %v", err)
		return
	}
	var c *Conn
	for began := time.Now(); c == nil; c = t.s.find(h.SID) { // it is known a little after the answer
		if time.Since(began) > patience {
			t.Error("no connection")
			return
		}
		runtime.Gosched()
	}
	t.inodes.Store(c, c.ws.inode(t.T))
	var sending sync.WaitGroup
	for range 2 {
		sending.Go(func() {
			for i := range 30 {
				c.Send(text(fmt.Sprintf("%s %s", h.SID, strings.Repeat("x", rand.IntN(100*i+1)))), false)
				yield()
			}
		})
	}
	sending.Go(func() { t.end(c, nc) })
	t.read(source, h.SID)
	sending.Wait()
}

// end ends a connection in one of many ways, after a while.
func (t *numberTest) end(c *Conn, nc net.Conn) {
	for range rand.IntN(10) {
		yield()
	}
	switch rand.IntN(5) {
	case 0:
		c.terminate(ReasonForcedClose, nil)
	case 1:
		c.terminate(ReasonSlowConsumer, nil)
	case 2:
		c.CloseAfterFlush(ReasonForcedClose)
	case 3:
		reset(nc)
	default:
		_ = nc.Close()
	}
}

// read reads until the connection ends, and checks that all belongs to it.
func (t *numberTest) read(source io.Reader, sid string) {
	for {
		f, err := ws.ReadFrame(source)
		if err != nil || f.Header.OpCode == ws.OpClose {
			return
		}
		if !strings.HasPrefix(string(f.Payload), "4"+sid+" ") {
			t.Errorf("the client got %.40q", f.Payload)
			return
		}
	}
}
