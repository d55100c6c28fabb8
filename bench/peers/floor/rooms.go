package main

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// rooms holds the connections, as file descriptors, by room.
type rooms struct {
	epoll int // reports clients that have hung up

	mu      sync.Mutex
	ring    *ring // nil: a system call for each write
	members map[string]map[int]struct{}
	joined  map[int][]string
}

func newRooms() (*rooms, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &rooms{epoll: epoll, members: make(map[string]map[int]struct{}), joined: make(map[int][]string)}, nil
}

// accept turns a request into a WebSocket in the rooms that ?rooms= names.
func (m *rooms) accept(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	names := r.URL.Query().Get("rooms")
	hijacker, ok := w.(http.Hijacker)
	if key == "" || !ok {
		http.Error(w, "this is no WebSocket handshake", http.StatusBadRequest)
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	fd, err := take(conn)
	conn.Close() // before fd is watched: while both are open, closing fd does not end its events
	if err != nil {
		return
	}
	hash := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
	m.add(fd, strings.Split(strings.Clone(names), ","), fmt.Appendf(nil, answer, base64.StdEncoding.EncodeToString(hash[:])))
}

// take returns a duplicate of the connection's descriptor, in blocking mode.
func take(conn net.Conn) (int, error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var failed error
	err = raw.Control(func(original uintptr) {
		if fd, failed = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0); failed == nil {
			failed = unix.SetNonblock(fd, false)
		}
	})
	if err == nil {
		err = failed
	}
	return fd, err
}

// add writes the answer that the client waits for and makes it a member, with nothing in between.
func (m *rooms) add(fd int, names []string, answer []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	writeAll(fd, answer)
	m.joined[fd] = names
	for _, name := range names {
		if m.members[name] == nil {
			m.members[name] = make(map[int]struct{})
		}
		m.members[name][fd] = struct{}{}
	}
	// This fails only without memory, since the descriptor is new.
	_ = unix.EpollCtl(m.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLRDHUP, Fd: int32(fd)})
}

// watch removes connections that the client has closed.
func (m *rooms) watch() error {
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(m.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			m.remove(int(event.Fd))
		}
	}
}

func (m *rooms) remove(fd int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.joined[fd] {
		delete(m.members[name], fd)
	}
	delete(m.joined, fd)
	unix.Close(fd)
}

// writeAll writes to a connection. If that fails, watch removes the connection.
func writeAll(fd int, b []byte) {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		b = b[n:]
	}
}
