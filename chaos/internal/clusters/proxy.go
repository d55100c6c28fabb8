package clusters

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/salabroker/sala/bench/process"
)

// fault is what a proxy does to the bytes that pass. Its zero value is a network that works.
type fault struct {
	cut bool // it closes connections, and new ones too
	// toRedisLost and toNodeLost discard the bytes of one direction.
	toRedisLost, toNodeLost bool
	// delay is how much later bytes arrive.
	delay time.Duration
	// rate is how many bytes pass in a second; 0 for no limit.
	rate int
}

// proxy carries TCP connections from a node to Redis.
type proxy struct {
	listener net.Listener
	redis    string
	running  sync.WaitGroup

	mu     sync.Mutex
	fault  fault
	conns  map[net.Conn]struct{}
	closed bool
}

func newProxy(redis string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, redis: redis, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.run)
	return p, nil
}

func (p *proxy) run() {
	for {
		node, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.connect(node) })
	}
}

// connect copies bytes between a node and Redis until one of them closes.
func (p *proxy) connect(node net.Conn) {
	defer node.Close()
	redis, err := net.Dial("tcp", p.redis)
	if err != nil {
		return
	}
	defer redis.Close()
	if !p.add(node, redis) {
		return
	}
	defer p.remove(node, redis)
	var back sync.WaitGroup
	back.Go(func() {
		p.copy(redis, node, func(f fault) bool { return f.toNodeLost })
		node.Close()
	})
	p.copy(node, redis, func(f fault) bool { return f.toRedisLost })
	redis.Close()
	back.Wait()
}

// add adds connections unless they are to be closed.
func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault.cut || p.closed {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// copy copies one direction. Once it has discarded bytes, it discards all that follow over this
// connection, since a stream with a hole in it would make no sense.
func (p *proxy) copy(from, to net.Conn, lost func(fault) bool) {
	buffer := make([]byte, 16<<10)
	discarding := false
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		f := p.current()
		discarding = discarding || lost(f)
		if discarding {
			continue
		}
		wait := f.delay
		if f.rate > 0 {
			wait += time.Duration(n) * time.Second / time.Duration(f.rate)
		}
		time.Sleep(wait)
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) current() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// set sets the fault.
func (p *proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	if f.cut {
		p.closeConns()
	}
}

// closeConns closes all connections. The caller holds mu.
func (p *proxy) closeConns() {
	for conn := range p.conns {
		conn.Close()
	}
}

func (p *proxy) stop() {
	p.mu.Lock()
	p.closed = true
	p.closeConns()
	p.mu.Unlock()
	p.listener.Close()
	p.running.Wait()
}

// proxies implement [redisSetup] with a proxy for each node.
type proxies []*proxy

func (ps *proxies) start(_ context.Context, c process.Cluster) error {
	for range c.Nodes {
		p, err := newProxy(c.Redis.Target.Listen)
		if err != nil {
			ps.stop()
			return err
		}
		*ps = append(*ps, p)
	}
	return nil
}

func (ps *proxies) url(node int) string { return "redis://" + (*ps)[node].listener.Addr().String() }

func (ps *proxies) stop() {
	for _, p := range *ps {
		p.stop()
	}
}

// set returns a function that sets a fault for nodes.
func (ps *proxies) set(nodes []int, f fault) func() error {
	return func() error {
		for _, node := range nodes {
			(*ps)[node].set(f)
		}
		return nil
	}
}
