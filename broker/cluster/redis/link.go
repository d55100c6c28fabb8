package redis

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/salabroker/sala/broker/cluster"
)

const (
	// subscribeBatch is the most channels of one command.
	subscribeBatch = 256
	// subscribePipeline is the most commands that are sent before the first answer.
	subscribePipeline = 16
)

// link receives for a session: for one partition, or for all. It is up once it is subscribed to
// everything that is wanted and receives what this node publishes. So a node that can't publish
// doesn't receive either: for the others, it is there or it isn't.
type link struct {
	// Static.
	session   *session
	partition int
	wanted    []*subscriptions
}

// linkConn is one connection of a link.
type linkConn struct {
	*link
	client rueidis.DedicatedClient
	wake   chan struct{} // holds one token if subscriptions have changed
	echoes chan string   // messages on the echo channel
	fail   context.CancelCauseFunc
}

// serve subscribes and receives until the connection or ctx ends. It returns whether the link was
// up, and why it no longer is.
func (l *link) serve(ctx context.Context) (up bool, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	client, _ := l.session.client.Dedicate()
	c := &linkConn{link: l, client: client, wake: make(chan struct{}, 1), echoes: make(chan string, 1), fail: fail}
	var running sync.WaitGroup
	defer running.Wait()
	defer client.Close()
	defer fail(errEnded)
	ended := client.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: c.received, OnSubscription: c.subscriptionChanged})
	running.Go(func() {
		err := errEnded
		for cause := range ended { // at most one, then it is closed
			err = cause
		}
		fail(err)
	})
	if err := c.begin(ctx); err != nil {
		return false, err
	}
	l.session.linkChanged(l.partition, nil)
	defer func() {
		for _, s := range l.wanted {
			s.reset(c.wake)
		}
	}()
	running.Go(func() { fail(c.pings(ctx)) })
	for {
		select {
		case <-ctx.Done():
			return true, context.Cause(ctx)
		case <-c.wake:
			if err := c.update(ctx); err != nil {
				return true, err
			}
		}
	}
}

// begin brings the link up.
func (c *linkConn) begin(ctx context.Context) error {
	if err := c.do(ctx, []string{c.session.bus.echo}, c.subscribe); err != nil {
		return err
	}
	if err := c.ping(ctx, "0"); err != nil {
		return err
	}
	for _, s := range c.wanted { // this server has no subscriptions yet
		s.reset(c.wake)
	}
	if err := c.update(ctx); err != nil {
		return err
	}
	if c.session.bus.identity == "" {
		return nil
	}
	return c.do(ctx, []string{c.session.bus.identity}, c.subscribe)
}

// pings checks again and again that what this node publishes comes back, until it doesn't or ctx
// ends.
func (c *linkConn) pings(ctx context.Context) error {
	tick := time.NewTicker(c.session.bus.options.Timeout / 2)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := c.ping(ctx, strconv.Itoa(n)); err != nil {
			return err
		}
	}
}

// ping publishes a text and waits until it comes back.
func (c *linkConn) ping(ctx context.Context, text string) error {
	limited, cancel := context.WithTimeout(ctx, c.session.bus.options.Timeout)
	defer cancel()
	err := c.session.client.Do(limited, c.session.publish(c.partition, c.session.bus.echo, []byte(text))).Error()
	if err != nil {
		return err
	}
	for {
		select {
		case got := <-c.echoes:
			if got == text {
				return nil
			}
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return errNoEcho
		}
	}
}

// update tells the server what is wanted.
func (c *linkConn) update(ctx context.Context) error {
	var subscribe, unsubscribe [partitions][]string
	var add, remove []string
	for i, s := range c.wanted {
		subscribe[i], unsubscribe[i] = s.changes()
		add, remove = append(add, subscribe[i]...), append(remove, unsubscribe[i]...)
	}
	if err := c.do(ctx, remove, c.unsubscribe); err != nil {
		return err
	}
	if err := c.do(ctx, add, c.subscribe); err != nil {
		return err
	}
	for i, s := range c.wanted {
		s.confirm(subscribe[i])
	}
	return nil
}

// do sends a command for channels and waits until the server has executed it.
func (c *linkConn) do(
	ctx context.Context, channels []string, command func(rueidis.Builder, []string) rueidis.Completed,
) error {
	for len(channels) > 0 {
		var commands []rueidis.Completed
		for len(channels) > 0 && len(commands) < subscribePipeline {
			n := min(len(channels), subscribeBatch)
			commands = append(commands, command(c.client.B(), c.names(channels[:n])))
			channels = channels[n:]
		}
		limited, cancel := context.WithTimeout(ctx, 2*c.session.bus.options.Timeout)
		results := c.client.DoMulti(limited, commands...)
		cancel()
		for _, result := range results {
			if err := result.Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

// names returns the names of channels on the server.
func (c *linkConn) names(channels []string) []string {
	if !c.session.sharded {
		return channels
	}
	names := make([]string, len(channels))
	for i, channel := range channels {
		names[i] = inPartition(c.partition, channel)
	}
	return names
}

func (c *linkConn) subscribe(b rueidis.Builder, names []string) rueidis.Completed {
	if c.session.sharded {
		return b.Ssubscribe().Channel(names...).Build()
	}
	return b.Subscribe().Channel(names...).Build()
}

func (c *linkConn) unsubscribe(b rueidis.Builder, names []string) rueidis.Completed {
	if c.session.sharded {
		return b.Sunsubscribe().Channel(names...).Build()
	}
	return b.Unsubscribe().Channel(names...).Build()
}

// received handles a message.
func (c *linkConn) received(m rueidis.PubSubMessage) {
	channel := c.session.channel(m.Channel)
	if channel != c.session.bus.echo {
		c.session.bus.inbox.Add(cluster.Message{Channel: channel, Payload: []byte(m.Message)})
		return
	}
	select {
	case c.echoes <- m.Message:
	default: // somebody else has published on it, which doesn't matter
	}
}

// subscriptionChanged ends the link if the server ends a subscription by itself, as a Redis Cluster
// does when the channel moves to another server.
func (c *linkConn) subscriptionChanged(change rueidis.PubSubSubscription) {
	if change.Kind != "sunsubscribe" {
		return
	}
	channel := c.session.channel(change.Channel)
	own := channel == c.session.bus.echo || channel == c.session.bus.identity
	if own || c.session.bus.wanted[c.partition].has(channel) {
		c.fail(errMoved)
	}
}
