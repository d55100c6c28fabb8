package connections

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/bench/results"
	"github.com/salabroker/sala/chaos/internal/scenario"
)

// Defaults of socket.io-client: reconnectionDelay, reconnectionDelayMax, randomizationFactor and
// timeout.
const (
	firstDelay   = time.Second
	longestDelay = 5 * time.Second
	delaySpread  = 0.5
	openTimeout  = 20 * time.Second
)

// reconnectDelay returns how long a client waits before an attempt, the first of which is 0.
func reconnectDelay(attempt int) time.Duration {
	delay := float64(firstDelay) * float64(uint(1)<<min(attempt, 10))
	delay *= 1 + delaySpread*(2*rand.Float64()-1)
	return min(time.Duration(delay), longestDelay)
}

// reconnectingClient is a client that lost its connection.
type reconnectingClient struct {
	state   reconnectState
	fd      int
	attempt int
	due     time.Time // of the next attempt, or when this one has taken too long
	auth    []byte
	read    []byte // not handled yet
}

// reconnectState is how far a client has come.
type reconnectState int

const (
	waiting    reconnectState = iota
	connecting                // TCP
	upgradeAsked
	joining // it has sent its connect packet
	connected
)

// reconnecting are clients that come back over WebSocket as stock clients do. Each does so in its
// own time without waiting for another: one goroutine has all connections in its epoll.
type reconnecting struct {
	dialer  *load.Dialer
	clients []reconnectingClient
	byFD    map[int]*reconnectingClient
	epoll   int
	begin   time.Time
	running sync.WaitGroup
	stopped chan struct{}

	mu        sync.Mutex
	took      []time.Duration // of clients that are connected again, in order
	tries     int
	failures  int
	lastError error
}

func newReconnecting(address string, clients []load.Client) (*reconnecting, error) {
	d, err := load.NewDialer(address)
	if err != nil {
		return nil, err
	}
	r := &reconnecting{
		dialer: d, clients: make([]reconnectingClient, len(clients)), byFD: make(map[int]*reconnectingClient), stopped: make(chan struct{}),
	}
	for i, c := range clients {
		auth, err := c.Auth()
		if err != nil {
			return nil, err
		}
		r.clients[i].auth = append([]byte("40"), auth...)
	}
	r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return r, err
}

// start lets the clients come back.
func (r *reconnecting) start() {
	r.begin = time.Now()
	for i := range r.clients {
		r.clients[i].due = r.begin.Add(reconnectDelay(0))
	}
	r.running.Go(r.run)
}

// stop closes all connections.
func (r *reconnecting) stop() {
	close(r.stopped)
	r.running.Wait()
	for fd := range r.byFD {
		unix.Close(fd)
	}
	unix.Close(r.epoll)
}

// missing returns how many clients are not connected again.
func (r *reconnecting) missing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.clients) - len(r.took)
}

// addTo adds how soon the clients were connected again. The time until now counts for clients that
// are not.
func (r *reconnecting) addTo(f results.Figures) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := r.took
	for len(took) < len(r.clients) {
		took = append(took, time.Since(r.begin))
	}
	f[figureBack99] = took[(len(took)*99+99)/100-1].Seconds()
	f[scenario.Back] = took[len(took)-1].Seconds()
	f[scenario.Connects], f[scenario.Lost] = float64(r.tries), float64(r.failures)
}

func (r *reconnecting) run() {
	const step = 5 // ms
	events := make([]unix.EpollEvent, load.MaxEvents)
	buf := make([]byte, load.ReadBuffer)
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
				r.retryAfter(c, r.advance(c, event.Events, buf))
			}
		}
		r.checkDue(time.Now())
	}
}

// checkDue starts attempts that are due, and ends those that take too long.
func (r *reconnecting) checkDue(now time.Time) {
	for i := range r.clients {
		c := &r.clients[i]
		switch {
		case c.state == connected || now.Before(c.due):
		case c.state == waiting:
			r.retryAfter(c, r.dial(c, now))
		default:
			r.retryAfter(c, load.ErrTimeout)
		}
	}
}

// retryAfter plans the next attempt of a client whose last one failed with err, if it did.
func (r *reconnecting) retryAfter(c *reconnectingClient, err error) {
	if err == nil {
		return
	}
	if c.state != waiting {
		delete(r.byFD, c.fd)
		unix.Close(c.fd)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastError = err
	r.failures++
	if c.state == connected {
		return // it does not come back again
	}
	c.attempt++
	c.state, c.read, c.due = waiting, nil, time.Now().Add(reconnectDelay(c.attempt))
}

func (r *reconnecting) dial(c *reconnectingClient, now time.Time) error {
	r.mu.Lock()
	r.tries++
	r.mu.Unlock()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if err := r.dialer.Connect(fd); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return err
	}
	c.state, c.fd, c.due = connecting, fd, now.Add(openTimeout)
	r.byFD[fd] = c
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd)})
}

// advance takes a client as far as what there is to read allows.
func (r *reconnecting) advance(c *reconnectingClient, events uint32, buf []byte) error {
	if c.state == connecting {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			return errors.New("the connection was refused")
		}
		c.state = upgradeAsked
		if _, err := load.WriteFD(c.fd, load.UpgradeRequest(r.dialer.Host, load.EnginePath+"websocket")); err != nil {
			return err
		}
		return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)})
	}
	n, err := load.FDReader(c.fd).Read(buf)
	if err != nil {
		return err
	}
	c.read = append(c.read, buf[:n]...)
	for {
		used, err := r.handle(c)
		if err != nil || used == 0 {
			return err
		}
		if c.read = c.read[used:]; len(c.read) == 0 {
			c.read = nil
		}
	}
}

// handle handles the answer to the upgrade, or one frame, and returns its size.
func (r *reconnecting) handle(c *reconnectingClient) (size int, err error) {
	if c.state == upgradeAsked {
		i := bytes.Index(c.read, []byte("\r\n\r\n"))
		if i < 0 {
			return 0, nil
		}
		if !bytes.HasPrefix(c.read, []byte("HTTP/1.1 101 ")) {
			return 0, fmt.Errorf("the server answered the upgrade with %.200q", c.read)
		}
		c.state = joining
		return i + 4, nil
	}
	opcode, payload, size, err := load.NextFrame(c.read)
	switch {
	case err != nil || size == 0:
		return 0, err
	case opcode == load.OpClose:
		return 0, errors.New("the server closes the connection")
	case opcode != load.OpText || len(payload) == 0:
	case payload[0] == '0':
		_, err = load.WriteFD(c.fd, load.AppendFrame(nil, load.OpText, c.auth))
	case string(payload) == "2":
		_, err = load.WriteFD(c.fd, load.AppendFrame(nil, load.OpText, []byte("3")))
	case c.state == joining:
		if _, err = load.SocketID(payload); err == nil {
			r.setConnected(c)
		}
	}
	return size, err
}

func (r *reconnecting) setConnected(c *reconnectingClient) {
	c.state = connected
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, time.Since(r.begin))
}
