package load

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/internal/job"
)

// How stock clients come back: socket.io-client's reconnectionDelay, reconnectionDelayMax, randomizationFactor and timeout.
const (
	firstDelay   = time.Second
	longestDelay = 5 * time.Second
	delaySpread  = 0.5
	openTimeout  = 20 * time.Second
)

// delayOf returns how long a client waits before an attempt, the first of which is 0.
func delayOf(attempt int) time.Duration {
	delay := float64(firstDelay) * float64(uint(1)<<min(attempt, 10))
	delay *= 1 + delaySpread*(2*rand.Float64()-1)
	return min(time.Duration(delay), longestDelay)
}

// comeback is a client that lost its connection, on its way back.
type comeback struct {
	stage   int
	fd      int
	attempt int
	due     time.Time // of the next attempt, or when this one has taken too long
	auth    []byte
	read    []byte // and not used yet
}

// The stages of a comeback.
const (
	waiting    = iota
	connecting // TCP
	upgrading  // the request for a WebSocket is sent
	joining    // the connect packet is sent
	arrived
)

// returning are clients that come back over WebSocket as stock clients do, each in its own time, and none waits for another: one
// goroutine has all their connections in its epoll.
type returning struct {
	dialer  *dialer
	clients []comeback
	byFD    map[int]*comeback
	epoll   int
	begin   time.Time
	running sync.WaitGroup
	stopped chan struct{}

	mu    sync.Mutex
	took  []time.Duration // of those who are back
	tries int
	fails int
	why   error // the last one failed
}

func newReturning(address string, clients []client) (*returning, error) {
	d, err := newDialer(address)
	if err != nil {
		return nil, err
	}
	r := &returning{dialer: d, clients: make([]comeback, len(clients)), byFD: make(map[int]*comeback), stopped: make(chan struct{})}
	for i, c := range clients {
		auth, err := authOf(c)
		if err != nil {
			return nil, err
		}
		r.clients[i].auth = append([]byte("40"), auth...)
	}
	r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return r, err
}

// start has them come back from now on.
func (r *returning) start() {
	r.begin = time.Now()
	for i := range r.clients {
		r.clients[i].due = r.begin.Add(delayOf(0))
	}
	r.running.Go(r.run)
}

// stop ends all connections.
func (r *returning) stop() {
	close(r.stopped)
	r.running.Wait()
	for fd := range r.byFD {
		unix.Close(fd)
	}
	unix.Close(r.epoll)
}

func (r *returning) missing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.clients) - len(r.took)
}

// figures adds how soon they were back; those who aren't count as the time until now.
func (r *returning) figures(f job.Figures) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := r.took // in order
	for len(took) < len(r.clients) {
		took = append(took, time.Since(r.begin))
	}
	f[job.Back99] = took[(len(took)*99+99)/100-1].Seconds()
	f[job.Back] = took[len(took)-1].Seconds()
	f[job.Connects], f[job.Lost] = float64(r.tries), float64(r.fails)
}

func (r *returning) run() {
	const step = 5 // ms
	events := make([]unix.EpollEvent, maxEvents)
	buf := make([]byte, readBuffer)
	for {
		select {
		case <-r.stopped:
			return
		default:
		}
		n, err := unix.EpollWait(r.epoll, events, step)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, event := range events[:max(n, 0)] {
			if c := r.byFD[int(event.Fd)]; c != nil {
				r.check(c, r.advance(c, event.Events, buf))
			}
		}
		r.due(time.Now())
	}
}

// due begins attempts, and gives up those that take too long.
func (r *returning) due(now time.Time) {
	for i := range r.clients {
		c := &r.clients[i]
		switch {
		case c.stage == arrived || now.Before(c.due):
		case c.stage == waiting:
			r.check(c, r.dial(c, now))
		default:
			r.check(c, errQuiet)
		}
	}
}

// check has a client try again later if its attempt has failed.
func (r *returning) check(c *comeback, err error) {
	if err == nil {
		return
	}
	if c.stage != waiting {
		delete(r.byFD, c.fd)
		unix.Close(c.fd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why, r.fails = err, r.fails+1; c.stage == arrived {
		return // it stays away
	}
	c.attempt++
	c.stage, c.read, c.due = waiting, nil, time.Now().Add(delayOf(c.attempt))
}

func (r *returning) dial(c *comeback, now time.Time) error {
	r.mu.Lock()
	r.tries++
	r.mu.Unlock()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := r.dialer.connect(fd); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return err
	}
	c.stage, c.fd, c.due = connecting, fd, now.Add(openTimeout)
	r.byFD[fd] = c
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd)})
}

// advance takes a client as far as it gets with what there is to read.
func (r *returning) advance(c *comeback, events uint32, buf []byte) error {
	if c.stage == connecting {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			return errors.New("it isn't connected")
		}
		c.stage = upgrading
		if _, err := writeFD(c.fd, upgradeRequest(r.dialer.host, enginePath+"websocket")); err != nil {
			return err
		}
		return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)})
	}
	n, err := readFD(c.fd).Read(buf)
	if err != nil {
		return err
	}
	c.read = append(c.read, buf[:n]...)
	for {
		used, err := r.take(c)
		if err != nil || used == 0 {
			return err
		}
		if c.read = c.read[used:]; len(c.read) == 0 {
			c.read = nil
		}
	}
}

// take handles the answer to the upgrade, or one frame, and returns how much of what was read that is.
func (r *returning) take(c *comeback) (used int, err error) {
	if c.stage == upgrading {
		i := bytes.Index(c.read, []byte("\r\n\r\n"))
		if i < 0 {
			return 0, nil
		}
		if !bytes.HasPrefix(c.read, []byte("HTTP/1.1 101 ")) {
			return 0, fmt.Errorf("the upgrade was answered with %.200q", c.read)
		}
		c.stage = joining
		return i + 4, nil
	}
	opcode, payload, size, err := nextFrame(c.read)
	switch {
	case err != nil || size == 0:
		return 0, err
	case opcode == opClose:
		return 0, errors.New("the server closes the connection")
	case opcode != opText || len(payload) == 0:
	case payload[0] == '0':
		_, err = writeFD(c.fd, appendMasked(nil, opText, c.auth))
	case string(payload) == "2":
		_, err = writeFD(c.fd, appendMasked(nil, opText, []byte("3")))
	case c.stage == joining:
		if _, err = idOf(payload); err == nil {
			r.arrive(c)
		}
	}
	return size, err
}

func (r *returning) arrive(c *comeback) {
	c.stage = arrived
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, time.Since(r.begin))
}
