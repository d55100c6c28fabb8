package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salabroker/sala/broker"
	"github.com/salabroker/sala/broker/cluster/clustertest"
	"github.com/salabroker/sala/broker/token"
)

var errReset = syscall.ECONNRESET

// world is everything that a run consists of.
type world struct {
	t        *testing.T
	seed     uint64
	plan     plan
	rnd      *rand.Rand // of the scheduler, which runs on one goroutine
	h        *history
	exchange *clustertest.Exchange // nil for a single node

	publishers []*publisher
	others     sync.WaitGroup // what the scheduler has started besides publishers

	mu      sync.Mutex
	nodes   []*node
	clients []*client
	links   []*link
	offline map[*client]bool
	ports   int
	failed  []string
}

// link is a connection of a client.
type link struct {
	client  *client
	node    *node
	conn    *conn // the client's end
	latency time.Duration
	luck    float64 // drawn when it opens
}

// source returns a source of randomness of its own for one part of the world.
func (w *world) source(part uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, part)) }

// fail notes a violation that isn't the checker's.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, fmt.Sprintf(format, args...))
}

// route returns the node that the load balancer chooses; nil if there is none.
func (w *world) route(r *rand.Rand) *node {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := w.openNodes()
	if len(open) == 0 {
		return nil
	}
	return open[r.IntN(len(open))]
}

// openNodes returns the nodes that take connections. The caller holds mu.
func (w *world) openNodes() []*node {
	var open []*node
	for _, n := range w.nodes {
		if n.open {
			open = append(open, n)
		}
	}
	return open
}

// latency draws the latency of a connection, one way.
func (w *world) latency(r *rand.Rand) time.Duration {
	if w.plan.latency == 0 || r.IntN(3) == 0 {
		return 0
	}
	return time.Duration(r.Int64N(int64(w.plan.latency)))
}

// dial opens a connection to the engine's node.
func (w *world) dial(e *engine) (*conn, error) {
	c, n := e.c, e.node
	w.mu.Lock()
	w.ports++
	port := w.ports
	away := w.offline[c]
	w.mu.Unlock()
	if away {
		<-time.After(c.timeout)
		return nil, syscall.ETIMEDOUT
	}
	pause(e.latency)
	if n == nil {
		return nil, syscall.ECONNREFUSED
	}
	addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, byte(c.id)), Port: 1024 + port}
	clientEnd, serverEnd := pipe(addr, n.listener.addr, e.latency)
	if !n.listener.offer(serverEnd) {
		pause(e.latency)
		return nil, syscall.ECONNREFUSED
	}
	l := &link{client: c, node: n, conn: clientEnd, latency: e.latency}
	w.mu.Lock()
	w.links = append(w.links, l)
	away = w.offline[c]
	w.mu.Unlock()
	if away {
		cut{up: true, down: true, client: never, server: never}.apply(clientEnd)
	}
	pause(e.latency)
	return clientEnd, nil
}

// pause waits, unless d is zero.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// publisher makes calls one after the other, on a goroutine of its own.
type publisher struct {
	w      *world
	name   string
	number int
	node   *node // guarded by world.mu
	calls  chan func(*node)
	busy   sync.WaitGroup
	ended  chan struct{}
}

func (w *world) startPublisher(number int) {
	p := &publisher{w: w, name: fmt.Sprintf("p%d", number), number: number, calls: make(chan func(*node), 1024), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for call := range p.calls {
			call(p.at())
			p.busy.Done()
		}
	}()
	w.publishers = append(w.publishers, p)
}

// at returns the publisher's node. It moves to another one when that doesn't serve any
// longer.
func (p *publisher) at() *node {
	for {
		p.w.mu.Lock()
		if open := p.w.openNodes(); len(open) > 0 && (p.node == nil || !p.node.open) {
			p.node = open[p.number%len(open)]
		}
		n := p.node
		serves := n != nil && n.open
		p.w.mu.Unlock()
		if serves {
			return n
		}
		pause(50 * time.Millisecond)
	}
}

// do queues a call.
func (p *publisher) do(call func(*node)) {
	p.busy.Add(1)
	p.calls <- call
}

// emit emits a message and records it.
func (w *world) emit(n *node, publisher string, m *message) {
	m.publisher = fmt.Sprintf("%s@%d", publisher, n.number)
	m.node = n.number
	args := m.args
	w.h.addMessage(m, func(m *message) { m.args = fmt.Sprintf(`{"m":%d}%s`, m.id, args) })
	msg := broker.Message{Event: m.event, Args: []byte("[" + m.args + "]"), Attachments: m.attached, Volatile: m.volatile, Unreported: m.unreported}
	if m.wantsAck {
		sum, err := n.EmitWithAck(context.Background(), m.target, msg, broker.AckOptions{Timeout: time.Second}, func(broker.Ack) error { return nil })
		w.h.endMessage(m, func(m *message) { m.acks, m.err = sum, err })
		return
	}
	report, err := n.Emit(context.Background(), m.target, msg)
	dead := w.isDead(n)
	w.h.endMessage(m, func(m *message) {
		m.report, m.err = report, err
		m.sure = err == nil && !report.Partial && !dead
	})
}

func (w *world) isDead(n *node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return n.dead
}

// change makes a call that changes sessions, and records it.
func (w *world) change(n *node, c *change, call func(context.Context) (broker.Outcome, error)) {
	c.node = n.number
	w.h.addChange(c)
	out, err := call(context.Background())
	w.h.endChange(c, err == nil && !out.Partial && out.Refused == 0 && !w.isDead(n))
}

// newClient returns a client that isn't connected.
func (w *world) newClient(user string) *client {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := len(w.clients) + 1
	c := &client{w: w, h: w.h, id: id, user: user, rnd: w.source(uint64(id))}
	c.token, c.tokenID = w.newToken(user)
	c.resumed.L = &c.mu
	c.asks = c.rnd.IntN(4) < w.plan.takers
	c.takesPart = w.plan.recovers && (c.asks || w.plan.everybody)
	c.mode = w.plan.modes[c.rnd.IntN(len(w.plan.modes))]
	c.browser = c.rnd.IntN(2) == 0
	c.delay = time.Duration(20+c.rnd.IntN(1000)) * time.Millisecond
	c.delayMax = 2 * c.delay
	c.timeout = 3*time.Second + 10*w.plan.latency
	c.returns = true
	for _, ns := range w.plan.namespaces {
		if ns == "/" || c.rnd.IntN(3) > 0 {
			c.sockets = append(c.sockets, &socket{namespace: ns})
		}
	}
	w.clients = append(w.clients, c)
	w.h.mu.Lock()
	w.h.clients = append(w.h.clients, c)
	w.h.mu.Unlock()
	return c
}

// newToken issues a token as a backend does that has the secret.
func (w *world) newToken(user string) (raw, id string) {
	keys, err := token.NewKeyring(token.Options{Keys: []token.Key{{Secret: []byte(secret)}}})
	if err != nil {
		w.t.Fatalf("token.NewKeyring: %v", err)
	}
	raw, claims, err := keys.Issue(user, time.Hour, token.Grant{Join: []string{"**"}, Publish: []string{"**"}, Broadcast: true, Rooms: []string{w.plan.room(0)}})
	if err != nil {
		w.t.Fatalf("Issue: %v", err)
	}
	return raw, claims.ID
}

func (c *client) start() {
	c.h.logf("%s starts, takes part: %t, %s, namespaces %d", c, c.takesPart, c.mode, len(c.sockets))
	c.task(func() {
		for _, s := range c.sockets {
			s.active = true
		}
		c.open()
	})
}

// begin starts everything and waits until the nodes know each other.
func (w *world) begin() {
	if w.plan.nodes > 1 {
		w.exchange = clustertest.NewExchange()
	}
	for range w.plan.nodes {
		w.startNode()
	}
	for _, n := range w.nodes {
		n.awaitReady(w.plan.nodes)
	}
	for i := range w.plan.publishers {
		w.startPublisher(i + 1)
	}
	for i := range w.plan.clients {
		w.newClient(fmt.Sprintf("u%d", i%w.plan.users+1)).start()
	}
	synctest.Wait()
}

// room returns the name of a room. Every client is in the first one when it connects.
func (p *plan) room(i int) string { return fmt.Sprintf("r%d", i) }

// awaitReady waits until the node has heard n nodes, itself included, and opens it for
// clients. A load balancer does the same when it asks /readyz.
func (n *node) awaitReady(nodes int) {
	for !n.hears(nodes) {
		pause(50 * time.Millisecond)
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.open = !n.dead
}

// hears reports whether the node has heard that many nodes, and no others that it knows
// of are missing.
func (n *node) hears(nodes int) bool {
	list, err := n.ListNodes(context.Background())
	if err != nil || list.Partial || len(list.Nodes) < nodes {
		return false
	}
	rooms, err := n.ListRooms(context.Background(), broker.RoomQuery{})
	return err == nil && !rooms.Partial
}

// awaitCluster waits until every node has heard every other.
func (w *world) awaitCluster() {
	w.mu.Lock()
	nodes := w.openNodes()
	w.mu.Unlock()
	for range 200 {
		if !slices.ContainsFunc(nodes, func(n *node) bool { return !n.hears(len(nodes)) }) {
			return
		}
		pause(100 * time.Millisecond)
	}
	w.fail("the nodes don't know each other after 20 s")
}

// errNotConnected is that a client isn't connected at the end.
var errNotConnected = errors.New("not connected")

// settle repairs everything and waits until everybody is connected and all is quiet.
func (w *world) settle() {
	w.others.Wait()
	for _, p := range w.publishers {
		p.busy.Wait()
	}
	if w.exchange != nil {
		w.exchange.SetDown(false)
		w.awaitCluster()
	}
	w.mu.Lock()
	clear(w.offline)
	clients := slices.Clone(w.clients)
	w.mu.Unlock()
	for _, c := range clients {
		c.setBlocked(false)
	}
	limit := w.plan.pingInterval + w.plan.pingTimeout + 20*w.plan.latency + 10*time.Second
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); pause(100 * time.Millisecond) {
		synctest.Wait()
		if err = w.allConnected(clients); err == nil {
			break
		}
	}
	if err != nil {
		w.fail("%v after %s without faults", err, limit)
	}
	// What is on its way arrives: the longest wait is that for a broken connection.
	pause(w.plan.pingInterval + w.plan.pingTimeout + 4*w.plan.latency + time.Second)
	w.h.logf("settled")
	for _, p := range w.publishers {
		p.do(func(n *node) {
			for _, ns := range w.plan.namespaces {
				w.emit(n, p.name, &message{namespace: ns, target: broker.Target{Namespace: ns, Everyone: true}, event: "e"})
			}
		})
		p.busy.Wait()
	}
	pause(2*time.Second + 4*w.plan.latency)
	synctest.Wait()
}

func (w *world) allConnected(clients []*client) error {
	for _, c := range clients {
		c.mu.Lock()
		for _, s := range c.sockets {
			if !c.gone && !s.connected && c.returns {
				c.mu.Unlock()
				return fmt.Errorf("%s is %w to %s", c, errNotConnected, s.namespace)
			}
		}
		c.mu.Unlock()
	}
	return nil
}

// freeze ends the logs of the clients, and notes which sockets they have and which ones
// a node lists.
func (w *world) freeze() {
	if n := w.someNode(); n != nil {
		w.h.listing = w.h.now()
		list, err := n.ListSockets(context.Background(), broker.SocketQuery{Page: broker.Page{Size: 1000}})
		if err != nil || list.Partial {
			w.fail("node %d lists the sockets after everything is repaired: %v, missing %v", n.number, err, list.Missing)
		}
		w.h.listed, w.h.listedBy, w.h.listedAt = list.Sockets, n.number, w.h.now()
	}
	for _, c := range w.clients {
		c.mu.Lock()
		c.final = make(map[string]string)
		for _, s := range c.sockets {
			if s.connected {
				c.final[s.namespace] = s.sid
			}
		}
		c.mu.Unlock()
	}
}

// end has everybody leave, checks that nothing is left, and ends the nodes.
func (w *world) end() {
	for _, p := range w.publishers {
		close(p.calls)
		<-p.ended
	}
	for _, c := range w.clients {
		c.task(func() {
			if c.rnd.IntN(2) == 0 {
				c.leave()
			} else { // a page that is closed
				c.gone = true
				c.closeManager()
			}
		})
	}
	pause(w.plan.window + w.plan.pingInterval + w.plan.pingTimeout + 15*time.Second)
	synctest.Wait()
	for _, n := range w.nodes {
		if w.isDead(n) {
			continue
		}
		if conns, sockets := n.Load(); conns+sockets > 0 {
			w.fail("node %d has %d connections and %d sockets after everybody has left", n.number, conns, sockets)
		}
		n.checkGauges()
	}
	for _, n := range w.nodes {
		if !w.isDead(n) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if err := n.Shutdown(ctx); err != nil {
				w.fail("node %d: Shutdown: %v", n.number, err)
			}
			cancel()
			n.end()
		}
	}
	for _, l := range w.links {
		_ = l.conn.Close()
	}
	pause(20 * time.Second) // for the clients' own timeouts
	synctest.Wait()
}
