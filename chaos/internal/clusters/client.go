package clusters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salabroker/sala/bench/load"
	"github.com/salabroker/sala/chaos/internal/observe"
)

// clusterClient is a client that reconnects whenever its connection ends, to any node that is open,
// as through a load balancer. It records what it receives. One goroutine runs it.
type clusterClient struct {
	client  load.Client
	cluster *testCluster
	dialers []*load.Dialer // of the nodes
	running atomic.Bool

	mu          sync.Mutex
	connections []*connection // in order
}

// connection is one connection of a client.
type connection struct {
	node     int
	id       string    // of the socket
	from     time.Time // when it was connected
	to       time.Time // when the server said goodbye, or the client noticed the end; zero if it lasts
	goodbye  bool      // the server sent a sala:disconnect
	received []uint64  // the numbers of messages
	conn     *load.Conn
}

// clusterClients are all clients of a cluster.
type clusterClients struct {
	list    []*clusterClient
	running sync.WaitGroup
}

// disconnectPacket ends a socket.
const disconnectPacket = "41"

// connectClients connects perNode clients to each node, all in the rooms.
func connectClients(ctx context.Context, c *testCluster, perNode int, rooms ...string) (*clusterClients, error) {
	clients, err := load.NewClients(ctx, c.target(0), perNode*len(c.Nodes), load.InRooms(rooms...))
	if err != nil {
		return nil, err
	}
	dialers := make([]*load.Dialer, len(c.Nodes))
	for i := range dialers {
		if dialers[i], err = load.NewDialer(c.target(i).Listen); err != nil {
			return nil, err
		}
	}
	all := &clusterClients{}
	for i, client := range clients {
		cl := &clusterClient{client: client, cluster: c, dialers: dialers}
		cl.running.Store(true)
		if err := cl.connect(i % len(dialers)); err != nil {
			all.stop()
			return nil, err
		}
		all.list = append(all.list, cl)
		all.running.Go(func() { cl.run(ctx) })
	}
	return all, nil
}

// connect connects to a node.
func (c *clusterClient) connect(node int) error {
	if !c.cluster.open[node].Load() {
		return errors.New("the node accepts no clients")
	}
	conn, id, err := load.OpenSocket(c.dialers[node], c.client)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connections = append(c.connections, &connection{node: node, id: id, from: time.Now(), conn: conn})
	return nil
}

// run reads and reconnects until the client is stopped.
func (c *clusterClient) run(ctx context.Context) {
	for {
		current := c.last()
		c.read(current)
		c.mu.Lock()
		if c.running.Load() && current.to.IsZero() {
			current.to = time.Now()
		}
		current.conn.Close()
		current.conn = nil
		c.mu.Unlock()
		for first := rand.N(len(c.dialers)); c.connect(first%len(c.dialers)) != nil; first++ {
			if !c.running.Load() || load.Sleep(ctx, 2*time.Millisecond) != nil {
				return
			}
		}
		if !c.running.Load() {
			c.mu.Lock()
			last := len(c.connections) - 1
			c.connections[last].conn.Close()
			c.connections = c.connections[:last]
			c.mu.Unlock()
			return
		}
	}
}

// last returns the last connection.
func (c *clusterClient) last() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connections[len(c.connections)-1]
}

// connected returns the current connection; nil if there is none.
func (c *clusterClient) connected() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.connections[len(c.connections)-1]; last.conn != nil {
		return last
	}
	return nil
}

// read reads until the connection ends.
func (c *clusterClient) read(current *connection) {
	for {
		opcode, payload, err := current.conn.ReadFrame()
		switch {
		case errors.Is(err, load.ErrTimeout):
		case err != nil:
			return
		case opcode == load.OpText && string(payload) == "2":
			_ = current.conn.WriteMessage([]byte("3")) // if this fails, reading fails next
		case opcode == load.OpClose:
			_, _ = current.conn.Write(load.AppendFrame(nil, load.OpClose, bytes.Clone(payload))) // the server may have ended
			return
		case opcode == load.OpText && string(payload) == disconnectPacket:
			return
		case opcode == load.OpText:
			c.receive(current, payload)
		}
	}
}

// receive records a packet.
func (c *clusterClient) receive(current *connection, packet []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number, _, _, ok := load.NextPayload(packet); ok {
		current.received = append(current.received, number)
	} else if bytes.HasPrefix(packet, []byte(observe.GoodbyeEvent)) {
		current.goodbye, current.to = true, time.Now()
	}
}

// stop ends the connection from the client's side.
func (c *clusterClient) stop() {
	c.running.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.connections[len(c.connections)-1]; last.conn != nil {
		_ = unix.Shutdown(last.conn.FD, unix.SHUT_RDWR) // it may have ended
	}
}

// timeAway returns for how long the client had no connection the last time.
func (c *clusterClient) timeAway() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.connections) < 2 {
		return 0
	}
	last := c.connections[len(c.connections)-2:]
	return last[1].from.Sub(last[0].to)
}

// stop stops all clients. Their last connections count as lasting.
func (cs *clusterClients) stop() {
	for _, c := range cs.list {
		c.stop()
	}
	cs.running.Wait()
}

// sum adds up what of returns for the connections of each client.
func (cs *clusterClients) sum(of func(connections []*connection) int) (n int) {
	for _, c := range cs.list {
		c.mu.Lock()
		n += of(c.connections)
		c.mu.Unlock()
	}
	return n
}

// received returns how many messages the clients have received.
func (cs *clusterClients) received() int {
	return cs.sum(func(connections []*connection) (n int) {
		for _, c := range connections {
			n += len(c.received)
		}
		return n
	})
}

// ended returns how many connections have ended.
func (cs *clusterClients) ended() int {
	return cs.sum(func(connections []*connection) int { return len(connections) - 1 })
}

// withoutGoodbye returns how many connections have ended without a sala:disconnect.
func (cs *clusterClients) withoutGoodbye() int {
	return cs.sum(func(connections []*connection) (n int) {
		for _, c := range connections {
			if !c.to.IsZero() && !c.goodbye {
				n++
			}
		}
		return n
	})
}

// settle waits until nothing more arrives.
func (cs *clusterClients) settle(ctx context.Context) error {
	for last := -1; last != cs.received(); {
		last = cs.received()
		if err := load.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// awaitReconnect waits until all clients are connected to nodes other than one, and returns how
// long that took.
func (cs *clusterClients) awaitReconnect(ctx context.Context, timeout time.Duration, without int) (time.Duration, error) {
	for begin := time.Now(); ; {
		missing := 0
		for _, c := range cs.list {
			if s := c.connected(); s == nil || s.node == without {
				missing++
			}
		}
		took := time.Since(begin)
		if missing == 0 {
			return took, nil
		}
		if took > timeout {
			return took, fmt.Errorf("%d of %d clients are not connected again after %v", missing, len(cs.list), timeout)
		}
		if err := load.Sleep(ctx, 2*time.Millisecond); err != nil {
			return took, err
		}
	}
}
