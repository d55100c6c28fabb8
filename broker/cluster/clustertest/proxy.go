package clustertest

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy is between one node and its Redis, and can disturb their connections as networks do.
type Proxy struct {
	// Port is its port on the loopback interface.
	Port int

	t        testing.TB
	to       string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	links   map[*link]struct{}
	refuse  bool               // new connections are closed at once
	stopped map[direction]bool // the directions that are held back
	closed  bool
}

// direction is where bytes go.
type direction uint8

const (
	toServer direction = iota // on connections without subscriptions
	toNode                    // on connections with subscriptions
)

// link is a connection to the proxy and the proxy's own connection for it.
type link struct {
	node, server net.Conn
	receives     bool // the node has subscribed on it; guarded by Proxy.mu
}

func (l *link) close() {
	_ = l.node.Close()
	_ = l.server.Close()
}

// StartProxy runs a proxy to a port of the loopback interface until the test ends.
func StartProxy(t testing.TB, port int) *Proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Port: l.Addr().(*net.TCPAddr).Port, t: t, to: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), listener: l,
		links: make(map[*link]struct{}), stopped: make(map[direction]bool),
	}
	p.cond = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// URL returns the proxy's URL, for a node to use as its Redis.
func (p *Proxy) URL() string { return "redis://127.0.0.1:" + strconv.Itoa(p.Port) }

// Cut closes all connections and refuses new ones, until Heal.
func (p *Proxy) Cut() {
	p.change(func() { p.refuse = true; p.closeLinks(func(*link) bool { return true }) })
}

// CutReceiving closes the connections that the node receives on and refuses new ones, until Heal.
func (p *Proxy) CutReceiving() {
	p.change(func() { p.refuse = true; p.closeLinks(func(l *link) bool { return l.receives }) })
}

// StopReceiving holds back what is published to the node, and leaves all connections open.
func (p *Proxy) StopReceiving() { p.change(func() { p.stopped[toNode] = true }) }

// StopPublishing holds back what the node sends on connections that it doesn't receive on, and
// leaves all connections open.
func (p *Proxy) StopPublishing() { p.change(func() { p.stopped[toServer] = true }) }

// Heal ends all faults. What was held back arrives.
func (p *Proxy) Heal() {
	p.change(func() { p.refuse = false; clear(p.stopped) })
}

func (p *Proxy) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	p.cond.Broadcast()
}

// closeLinks closes the links for which `which` returns true. The caller holds mu.
func (p *Proxy) closeLinks(which func(*link) bool) {
	for l := range p.links {
		if which(l) {
			l.close()
		}
	}
}

func (p *Proxy) stop() {
	p.change(func() {
		p.closed = true
		p.closeLinks(func(*link) bool { return true })
	})
	_ = p.listener.Close()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		node, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse || p.closed
		p.mu.Unlock()
		if refuse {
			_ = node.Close()
			continue
		}
		server, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", p.to)
		if err != nil {
			_ = node.Close()
			continue
		}
		l := &link{node: node, server: server}
		p.change(func() { p.links[l] = struct{}{} })
		p.running.Go(func() { p.pump(l, server, node, toServer) })
		p.running.Go(func() { p.pump(l, node, server, toNode) })
	}
}

// pump copies bytes in one direction until either end closes.
func (p *Proxy) pump(l *link, to, from net.Conn, d direction) {
	defer func() {
		l.close()
		p.change(func() { delete(p.links, l) })
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.wait(l, d, buf[:n])
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when bytes may pass.
func (p *Proxy) wait(l *link, d direction, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d == toServer && bytes.Contains(bytes.ToUpper(data), []byte("SUBSCRIBE\r\n")) {
		l.receives = true
	}
	for p.stopped[d] && l.receives == (d == toNode) && !p.closed {
		p.cond.Wait()
	}
}
