package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Client runs commands on the server of a bus, over a connection of its own, so that large answers
// don't delay messages between nodes. Its methods may be called concurrently.
//
// It connects as a [Bus] does. The client library connects again after a connection is lost, and
// follows a Redis Cluster. With Sentinel, the Client follows the master.
type Client struct {
	dialer

	// Guarded by mu.
	mu      sync.Mutex
	current rueidis.Client // nil while there is none
	err     error          // why there is none
}

// NewClient returns a client that connects when it runs. The error says what is wrong with the
// options.
func NewClient(o Options) (*Client, error) {
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	return &Client{dialer: d, err: errNotYet}, nil
}

// Run connects, and again after the master has changed, until ctx ends. It calls connected each
// time, before Current returns the client. It is called once.
func (c *Client) Run(ctx context.Context, connected func(rueidis.Client)) {
	var repeats repeats
	for attempt := 0; ctx.Err() == nil; attempt++ {
		open, err := c.serve(ctx, connected)
		switch {
		case ctx.Err() != nil:
		case open:
			attempt, repeats.last = 0, ""
		case repeats.isNew(err, time.Now()):
			c.options.Logger.Warn("can't connect to the Redis of the history; trying again", "error", err)
		}
		c.pause(ctx, attempt)
	}
}

// serve connects, and keeps the connection until ctx ends or the server is no longer the master. It
// returns whether it was connected at all, and why it no longer is.
func (c *Client) serve(ctx context.Context, connected func(rueidis.Client)) (open bool, err error) {
	client, watch, err := c.open(ctx)
	if err != nil {
		err = advised(err)
		c.set(nil, err)
		return false, err
	}
	defer client.Close()
	connected(client)
	c.set(client, nil)
	serving, fail := context.WithCancelCause(ctx)
	defer fail(errEnded)
	if watch != nil {
		watch(serving, fail)
	}
	<-serving.Done()
	err = context.Cause(serving)
	c.set(nil, err)
	return true, err
}

func (c *Client) set(current rueidis.Client, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.err = current, err
}

// Current returns the client library's client, or a
// [github.com/salabroker/sala/broker/cluster.ErrUnavailable]. The caller must not
// close it.
func (c *Client) Current() (rueidis.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil, unavailable(c.err)
	}
	return c.current, nil
}

// Timeout returns how long the server may take to answer.
func (c *Client) Timeout() time.Duration { return c.options.Timeout }
