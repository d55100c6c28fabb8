package clustertest

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Proxy stands between one node and its Redis, and does to their connections what
// networks do.
type Proxy struct {
	// Port is where it listens on the loopback interface.
	Port int

	t        testing.TB
	to       string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	links   map[*link]struct{}
	refuse  bool               // new connections are closed at once
	stopped map[direction]bool // what goes there stays in the proxy
	closed  bool
}

// direction is where bytes go, and on which connection.
type direction uint8

const (
	toServer direction = iota // what the node publishes and asks
	toNode                    // what is published to the node
)

// link is a connection to the proxy and the one that it has made for it.
type link struct {
	node, server net.Conn
	hears        bool // the node has subscribed on it; guarded by Proxy.mu
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

// URL is what a node is given as its Redis.
func (p *Proxy) URL() string { return "redis://127.0.0.1:" + strconv.Itoa(p.Port) }

// Cut closes all connections and lets no new one through, until Heal.
func (p *Proxy) Cut() {
	p.change(func() { p.refuse = true; p.closeLinks(func(*link) bool { return true }) })
}

// CutHearing closes the connections that the node hears on.
func (p *Proxy) CutHearing() {
	p.change(func() { p.refuse = true; p.closeLinks(func(l *link) bool { return l.hears }) })
}

// StopHearing lets nothing more through that is published to the node, and doesn't
// close anything.
func (p *Proxy) StopHearing() { p.change(func() { p.stopped[toNode] = true }) }

// StopSpeaking lets nothing more through that the node says where it doesn't hear, and
// doesn't close anything.
func (p *Proxy) StopSpeaking() { p.change(func() { p.stopped[toServer] = true }) }

// Heal lets everything through again. What was held back arrives.
func (p *Proxy) Heal() {
	p.change(func() { p.refuse = false; clear(p.stopped) })
}

func (p *Proxy) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	p.cond.Broadcast()
}

// closeLinks closes those that which selects. The caller holds mu.
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

// pump carries bytes one way until either end closes.
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

// wait returns when bytes may go on. Where nothing is heard counts as where
// the node speaks.
func (p *Proxy) wait(l *link, d direction, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d == toServer && bytes.Contains(bytes.ToUpper(data), []byte("SUBSCRIBE\r\n")) {
		l.hears = true
	}
	for p.stopped[d] && l.hears == (d == toNode) && !p.closed {
		p.cond.Wait()
	}
}
