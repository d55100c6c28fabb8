package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/salabroker/sala/bench/process"
)

const (
	// DefaultWindow is how many connections are opened at a time.
	DefaultWindow = 32
	// pollingWindow is larger, since an upgrade waits for a timer on some servers.
	pollingWindow = 128
	// MaxAttempts is how often a client tries to connect if it must.
	MaxAttempts = 5
)

// Options say how clients connect and what a [Pool] does with what they receive.
type Options struct {
	// Protocol is [SocketIO] over WebSocket by default.
	Protocol Protocol
	// Window is how many connections are opened at a time; 0 for the default.
	Window int
	// Slow is [Dialer].Slow.
	Slow bool
	// Start is the time that stamps count from; by default the time at which the pool is made.
	Start time.Time
	// Receive gets each packet that a client of the pool receives, pings excepted, instead of the
	// pool's own count of deliveries, and returns what the client replies; nil for nothing. It must
	// not call methods of the pool.
	Receive func(client int, packet []byte) (reply []byte)
}

// Connector connects clients. Its counts are complete when Connect has returned.
type Connector struct {
	options Options
	dialer  *Dialer
	tried   atomic.Uint64
	lost    atomic.Uint64

	mu        sync.Mutex
	latency   Histogram // of connections that were made
	lastError error
}

// NewConnector returns a connector for a server.
func NewConnector(t *process.Target, o Options) (*Connector, error) {
	d, err := NewDialer(t.Listen)
	if err != nil {
		return nil, err
	}
	d.Slow = o.Slow
	if o.Protocol == nil {
		o.Protocol = SocketIO{}
	}
	if o.Window == 0 {
		o.Window = DefaultWindow
		if p, ok := o.Protocol.(SocketIO); ok && p.Polling {
			o.Window = pollingWindow
		}
	}
	return &Connector{options: o, dialer: d}, nil
}

// Connect connects clients, each with a number of attempts, and hands their connections to keep,
// which must be safe for concurrent use. With a single attempt a client that fails is only counted.
func (c *Connector) Connect(ctx context.Context, clients []Client, attempts int, keep func(i int, conn *Conn) error) error {
	return InParallel(ctx, c.options.Window, len(clients), func(_ context.Context, i int) error {
		conn, err := c.open(clients[i], attempts)
		switch {
		case err == nil:
			return keep(i, conn)
		case attempts == 1:
			return nil
		default:
			return err
		}
	})
}

// Pool connects clients with [MaxAttempts] attempts each and returns them in a pool.
func (c *Connector) Pool(ctx context.Context, clients []Client) (*Pool, error) {
	p, err := NewPool(c.options)
	if err != nil {
		return nil, err
	}
	if err := c.Connect(ctx, clients, MaxAttempts, p.Add); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// ConnectAll connects clients and returns them in a pool.
func ConnectAll(ctx context.Context, t *process.Target, clients []Client, o Options) (*Pool, error) {
	c, err := NewConnector(t, o)
	if err != nil {
		return nil, err
	}
	return c.Pool(ctx, clients)
}

func (c *Connector) open(cl Client, attempts int) (*Conn, error) {
	var failed error
	for range attempts {
		begin := time.Now()
		c.tried.Add(1)
		conn, err := c.options.Protocol.Open(c.dialer, cl)
		c.mu.Lock()
		if err == nil {
			c.latency.Record(time.Since(begin))
			c.mu.Unlock()
			return conn, nil
		}
		failed, c.lastError = err, err
		c.mu.Unlock()
		c.lost.Add(1)
	}
	return nil, fmt.Errorf("a client could not connect in %d attempts: %w", attempts, failed)
}

// Tried returns how many connections were tried.
func (c *Connector) Tried() uint64 { return c.tried.Load() }

// Lost returns how many connections failed or were not answered in time.
func (c *Connector) Lost() uint64 { return c.lost.Load() }

// Latency returns how long the connections that were made took.
func (c *Connector) Latency() *Histogram { return &c.latency }

// LastError returns why the last connection was lost.
func (c *Connector) LastError() error { return c.lastError }
