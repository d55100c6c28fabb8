package load

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/internal/job"
)

// condition is what becomes of bytes on a link. Its zero value is a link that works.
type condition struct {
	cut bool // connections are closed, and new ones too
	// toRedis and toNode are the bytes of one direction: they are swallowed.
	toRedisLost, toNodeLost bool
	// delay is how much later they arrive.
	delay time.Duration
	// rate is how many bytes pass in a second; zero for all.
	rate int
}

// link is the way of one server to Redis, over TCP.
type link struct {
	listener net.Listener
	redis    string
	running  sync.WaitGroup

	mu    sync.Mutex
	now   condition
	conns map[net.Conn]struct{}
	ended bool
}

func newLink(redis string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &link{listener: l, redis: redis, conns: make(map[net.Conn]struct{})}
	w.running.Go(w.run)
	return w, nil
}

func (w *link) run() {
	for {
		node, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.running.Go(func() { w.join(node) })
	}
}

// join carries bytes between a server and Redis until one of them closes.
func (w *link) join(node net.Conn) {
	defer node.Close()
	redis, err := net.Dial("tcp", w.redis)
	if err != nil {
		return
	}
	defer redis.Close()
	if !w.add(node, redis) {
		return
	}
	defer w.remove(node, redis)
	var back sync.WaitGroup
	back.Go(func() {
		w.carry(redis, node, func(c condition) bool { return c.toNodeLost })
		node.Close()
	})
	w.carry(node, redis, func(c condition) bool { return c.toRedisLost })
	redis.Close()
	back.Wait()
}

func (w *link) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.cut || w.ended {
		return false
	}
	for _, c := range conns {
		w.conns[c] = struct{}{}
	}
	return true
}

func (w *link) remove(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

// carry copies one direction. What has been swallowed once spoils the connection: nothing
// more passes this way.
func (w *link) carry(from, to net.Conn, lost func(condition) bool) {
	buffer := make([]byte, 16<<10)
	spoilt := false
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		c := w.condition()
		if spoilt = spoilt || lost(c); spoilt {
			continue
		}
		wait := c.delay
		if c.rate > 0 {
			wait += time.Duration(n) * time.Second / time.Duration(c.rate)
		}
		time.Sleep(wait)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (w *link) condition() condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// set changes the condition of the link.
func (w *link) set(c condition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = c
	if c.cut {
		for conn := range w.conns {
			conn.Close()
		}
	}
}

func (w *link) stop() {
	w.mu.Lock()
	w.ended = true
	for conn := range w.conns {
		conn.Close()
	}
	w.mu.Unlock()
	w.listener.Close()
	w.running.Wait()
}

// links are those of all servers to the job's Redis.
type links []*link

func (ws *links) start(_ context.Context, j *job.Job) error {
	for range j.Servers[1:] {
		w, err := newLink(j.Servers[0].Target.Listen)
		if err != nil {
			ws.stop()
			return err
		}
		*ws = append(*ws, w)
	}
	return nil
}

func (ws *links) url(node int) string { return "redis://" + (*ws)[node].listener.Addr().String() }

func (ws *links) stop() {
	for _, w := range *ws {
		w.stop()
	}
}
